from tests.tiny import tiny, tiny_base

__all__ = ["tiny", "tiny_base"]
