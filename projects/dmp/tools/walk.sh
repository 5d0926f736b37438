#!/usr/bin/env bash
# Make a data set from keywords, train DMP on it, predict its validation images, and evaluate the predictions.
#
#     KEYWORDS=keywords.txt bash projects/dmp/tools/walk.sh
#
# The variables below can be set in the same way. To continue after an interruption, run the same command again; training
# starts again unless TRAIN_OPTIONS contains --resume.
set -euo pipefail

KEYWORDS=${KEYWORDS:-keywords.txt}  # one keyword per line
DATA=${DATA:-data/dmp_bedroom}      # images and targets; the data_root of CONFIG
KIND=${KIND:-normals}               # normals, depth, albedo, shading or segmentation
CONFIG=${CONFIG:-projects/dmp/configs/dmp_sd1-4_1xb8-50k_bedroom-$KIND-512x512.py}
WORK=${WORK:-work_dirs/dmp_bedroom_$KIND}       # checkpoints and predictions
WEIGHTS=${WEIGHTS:-$WORK/lora_iter_50000}       # the adapter to evaluate
TRAIN_CAPTIONS=${TRAIN_CAPTIONS:-10000}         # captions per keyword, each of which gives one image
VAL_CAPTIONS=${VAL_CAPTIONS:-100}
LANGUAGE_MODEL=${LANGUAGE_MODEL:-Qwen/Qwen2.5-0.5B-Instruct}
IMAGE_MODEL=${IMAGE_MODEL:-CompVis/stable-diffusion-v1-4}
IMAGE_OPTIONS=${IMAGE_OPTIONS:-}                # of make_images.py, such as --size and --batch-size
TARGET_OPTIONS=${TARGET_OPTIONS:-}              # of make_targets.py, such as --config and --weights for segmentation
TRAIN_OPTIONS=${TRAIN_OPTIONS:-}                # of mim train, such as --gpus
LAUNCH=${LAUNCH:-python}                        # runs the generators, such as torchrun --nproc-per-node 8

make_split() {
    local split=$1 captions=$2 seed=$3
    $LAUNCH projects/dmp/tools/make_captions.py "$KEYWORDS" --out-file "$DATA/$split.jsonl" --model "$LANGUAGE_MODEL" --per-keyword "$captions" --seed "$seed"
    $LAUNCH projects/dmp/tools/make_images.py "$DATA/$split.jsonl" --out "$DATA/$split" --model "$IMAGE_MODEL" --seed "$seed" $IMAGE_OPTIONS
    $LAUNCH projects/dmp/tools/make_targets.py "$DATA/$split" --out "$DATA/targets/$split/$KIND" --kind "$KIND" $TARGET_OPTIONS
}

make_split train "$TRAIN_CAPTIONS" 0
make_split val "$VAL_CAPTIONS" 1
mim train mmseg "$CONFIG" --work-dir "$WORK" $TRAIN_OPTIONS
python tools/predict.py "$CONFIG" "$WEIGHTS" "$DATA/val" --out "$WORK/predictions"
