"""What mmengine's logger says."""

from contextlib import contextmanager

from mmengine.logging import MMLogger


@contextmanager
def heard(caplog):
    """Let caplog hear mmengine's logger, which passes nothing on, at a level that hides no information."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('INFO')
    logger.addHandler(caplog.handler)
    try:
        yield
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
