"""Errors that a file, the memory or the disk is behind, as one line that says so.

Libraries raise what they like for a damaged file or where memory ends. Which is which is told by the names of the
kinds of error, so that no library need be imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OUT_OF_MEMORY = (
    "not enough memory",
    "out of memory",
    "can't allocate",
    "cannot allocate",
    "insufficient memory",
    "bad allocation",
    "bad_alloc",
)
DAMAGED = frozenset(
    {
        "builtins.EOFError",
        "cv2.error",
        "_lzma.LZMAError",
        "nibabel.filebasedimages.ImageFileError",
        "PIL.Image.DecompressionBombError",
        "_pickle.UnpicklingError",
        "pyogrio.errors.CRSError",
        "pyogrio.errors.DataLayerError",
        "pyogrio.errors.DataSourceError",
        "pyogrio.errors.FeatureError",
        "pyogrio.errors.FieldError",
        "pyogrio.errors.GeometryError",
        "rasterio._err.CPLE_BaseError",
        "rasterio.errors.RasterioError",
        "safetensors._safetensors_rust.SafetensorError",
        "shapely.errors.ShapelyError",
        "struct.error",
        "yaml.error.YAMLError",
        "zipfile.BadZipFile",
        "zlib.error",
    }
)
"""Kinds of error of libraries, by module and name; what is derived from them counts, too."""

WRITING = ("PytorchStreamWriter", "inline_container")  # what torch says where a state cannot be written


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has ended: Python's or NumPy's, torch's (of either device), or OpenCV's."""
    if isinstance(error, MemoryError):
        return True
    message = str(error).lower()
    of_allocator = isinstance(error, RuntimeError) or "cv2.error" in _names(error)
    return of_allocator and any(words in message for words in OUT_OF_MEMORY)


def plain(error: BaseException) -> str | None:
    """One line for people; None where the program itself is at fault, whose traceback must be seen."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    message = " ".join(str(error).split())
    if is_out_of_memory(error):
        return f"takes more memory than there is; give less at once, or smaller settings ({message or 'MemoryError'})"
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, OverflowError):
        return f"holds a number that is too large ({message})"
    if _names(error) & DAMAGED:
        return f"damaged, or cannot be worked on ({type(error).__name__}: {message})"
    if isinstance(error, RuntimeError) and any(word in message for word in WRITING):
        return f"cannot be written; is the disk full? ({message})"
    return message if isinstance(error, ValueError | OSError) else None


@contextmanager
def naming(path: str | Path, *others: str | Path | None, hidden: Path | None = None) -> Iterator[None]:
    """Errors that a file is behind become ``ValueError`` and name it, unless they name it or one of the others.

    ``OSError`` stays what it is, see `naming_os_errors`. ``hidden``: another name of the file, which is not shown.
    """
    try:
        with naming_os_errors(path, hidden):
            yield
    except OSError:
        raise
    except Exception as error:
        line = plain(error)
        if line is None:
            raise
        shown = line if hidden is None else line.replace(str(hidden), str(path))
        named = any(str(one) in shown for one in (path, *others) if one is not None)
        if named and shown == line and isinstance(error, ValueError):
            raise
        raise ValueError(shown if named else f"{path}: {shown}") from error


@contextmanager
def naming_os_errors(path: str | Path, hidden: Path | None = None) -> Iterator[None]:
    """``OSError`` that names no file gets ``path``; one that names ``hidden``, or what is in it, the final name."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.strerror:
            final = Path(path)
        elif hidden is not None and isinstance(error.filename, str) and Path(error.filename).is_relative_to(hidden):
            final = Path(path) / Path(error.filename).relative_to(hidden)
        else:
            raise
        raise OSError(error.errno, error.strerror, str(final)) from error


def _names(error: BaseException) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
