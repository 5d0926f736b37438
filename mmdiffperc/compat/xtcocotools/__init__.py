"""What mmpose uses of xtcocotools, over pycocotools; see ``mmdiffperc/compat/coco_tools.py``."""
