"""Read a config and import what its ``custom_imports`` name, in both styles of config.

``Config.fromfile`` (``mmengine/config/config.py``) ignores ``custom_imports`` in new-style configs. Their types are
classes, which need no import, but other settings are registered names, such as the data set of ``ClassPrompts``.

Delete when mmengine imports them in both styles.
"""

from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings


def read_config(file: str | Path) -> Config:
    """Read a config, and import what it names.

    Args:
        file (str | Path): The config.

    Raises:
        ImportError: A module that the config names cannot be imported.
    """
    config = Config.fromfile(file)
    import_modules_from_strings(**config.get('custom_imports') or dict(imports=[]))
    return config
