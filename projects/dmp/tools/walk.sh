#!/usr/bin/env bash
# From a keyword to evaluated predictions: generate a data set, train DMP, predict the validation images, and evaluate.
#
#     KIND=depth bash projects/dmp/tools/walk.sh
#
# Set the variables below in the same way. To continue after an interruption, run the same command again, with
# TRAIN_OPTIONS=--resume if it was interrupted during or after training: otherwise, training starts again.
set -euo pipefail

KIND=${KIND:-normals}                                  # normals, depth, albedo, shading or segmentation
DATA=${DATA:-data/dmp_bedroom}                         # generated images and targets, the data_root of CONFIG
CONFIG=${CONFIG:-projects/dmp/configs/dmp_sd1-4_1xb8-50k_bedroom-$KIND-512x512.py}
WORK=${WORK:-work_dirs/dmp_bedroom_$KIND}              # checkpoints, predictions and measures
WEIGHTS=${WEIGHTS:-$WORK/lora_iter_50000}              # the trained adapter
IMAGE_MODEL=${IMAGE_MODEL:-CompVis/stable-diffusion-v1-4}
NUM_TRAIN=${NUM_TRAIN:-10000}                          # images per keyword
NUM_VAL=${NUM_VAL:-1000}
CAPTION_OPTIONS=${CAPTION_OPTIONS:---keyword bedroom}  # of make_captions.py; a file of keywords can replace --keyword
IMAGE_OPTIONS=${IMAGE_OPTIONS:-}                       # of make_images.py, such as --batch-size 8
TARGET_OPTIONS=${TARGET_OPTIONS:-}                     # of make_targets.py, such as --config and --weights
TRAIN_OPTIONS=${TRAIN_OPTIONS:-}                       # of mim train
LAUNCH=${LAUNCH:-python}                               # of the generators, such as torchrun --nproc-per-node 8

generate() {
    local split=$1 number=$2 seed=$3
    $LAUNCH projects/dmp/tools/make_captions.py $CAPTION_OPTIONS --per-keyword "$number" --seed "$seed" --out-file "$DATA/$split.jsonl"
    $LAUNCH projects/dmp/tools/make_images.py "$DATA/$split.jsonl" --model "$IMAGE_MODEL" --seed "$seed" --out "$DATA/$split" $IMAGE_OPTIONS
    $LAUNCH projects/dmp/tools/make_targets.py "$DATA/$split" --kind "$KIND" --out "$DATA/targets/$split/$KIND" $TARGET_OPTIONS
}

evaluate() {
    python projects/dmp/tools/evaluate_targets.py "$@" --out-file "$WORK/measures.json"
}

TRUTH=$DATA/targets/val/$KIND
generate train "$NUM_TRAIN" 0
generate val "$NUM_VAL" 1
mim train mmseg "$CONFIG" --work-dir "$WORK" $TRAIN_OPTIONS
python tools/predict.py "$CONFIG" "$WEIGHTS" "$DATA/val" --out "$WORK/predictions"
case $KIND in
    normals) evaluate "$WORK/predictions" "$TRUTH" --metrics l1 angular ;;
    depth) evaluate "$WORK/predictions" "$TRUTH" --abs --metrics rel delta ;;
    albedo | shading) evaluate "$WORK/predictions" "$TRUTH" --metrics mse ;;
    segmentation)
        python projects/dmp/tools/convert_colours.py "$WORK/predictions" --to classes --bedroom --out "$WORK/classes"
        python projects/dmp/tools/convert_colours.py "$TRUTH" --to classes --out "$WORK/true_classes"
        evaluate "$WORK/classes" "$WORK/true_classes" --metrics miou --num-classes 150
        ;;
esac
