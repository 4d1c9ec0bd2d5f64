"""The page at /docs: Swagger UI for /openapi.json, served from this origin alone."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from app.api.examples.files import FILES, FOLDER
from app.api.security_headers import DOCS
from app.errors import NotFound

router = APIRouter(include_in_schema=False)

_WEB = Path(__file__).parents[1] / "web"
_PAGE = _WEB / "docs.html"
_FILES = {
    "docs.js": (_WEB / "docs.js", "text/javascript"),
    "favicon-32x32.png": (_WEB / "swagger" / "favicon-32x32.png", "image/png"),
    "swagger-ui-bundle.js": (_WEB / "swagger" / "swagger-ui-bundle.js", "text/javascript"),
    "swagger-ui.css": (_WEB / "swagger" / "swagger-ui.css", "text/css"),
}
"""The files that the page loads, by name: path and media type."""


@router.get(DOCS)
async def page() -> FileResponse:
    """The page; its links are relative, so that it works behind a proxy that puts a prefix before every path."""
    return FileResponse(_PAGE, media_type="text/html")


@router.get(DOCS + "/{name}")
async def file(name: str) -> FileResponse:
    """A file that the page loads.

    Raises:
        NotFound: there is no such file.
    """
    if name not in _FILES:  # a list of names, never a path made of what the client sent
        raise NotFound(f"no such path: {DOCS}/{name}")
    path, media_type = _FILES[name]
    return FileResponse(path, media_type=media_type)


@router.get(DOCS + "/examples/{name}")
async def example(name: str) -> FileResponse:
    """A file to send to a model.

    Raises:
        NotFound: there is no such file.
    """
    if name not in FILES:
        raise NotFound(f"no such path: {DOCS}/examples/{name}")
    return FileResponse(FOLDER / name, media_type=FILES[name], filename=name)
