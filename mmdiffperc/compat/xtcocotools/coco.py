"""The COCO index for pose data sets, which may lack some fields."""

import json

from pycocotools.coco import COCO as CocoIndex


class COCO(CocoIndex):
    """Index of a COCO JSON file whose annotations may lack ``iscrowd`` and whose results may be empty."""

    def createIndex(self):
        """Index images, annotations and categories; an annotation without ``iscrowd`` is not a crowd."""
        for annotation in self.dataset.get('annotations', []):
            annotation.setdefault('iscrowd', False)
        super().createIndex()

    def loadRes(self, resFile):
        """Load results.

        Args:
            resFile (str | list[dict] | ndarray): A JSON file, its content, or pycocotools' ``(N, 7)`` rows.

        Returns:
            COCO: The index of the results; an empty one for an empty list.
        """
        results = resFile
        if isinstance(resFile, str):
            with open(resFile, encoding='utf-8') as file:
                results = json.load(file)
        if len(results):
            return super().loadRes(results)
        empty = COCO()
        empty.dataset = {'images': self.dataset['images'], 'annotations': []}
        empty.createIndex()
        return empty
