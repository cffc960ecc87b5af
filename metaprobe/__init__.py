"""metaprobe: what did adaptation do to an encoder's features?"""

from importlib.metadata import version

__version__ = version("metaprobe")
