"""The page at /: static files from this origin alone, which call the public API as any client would."""

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles

from app.api.security_headers import PAGE, PAGE_FILE, PAGE_FILES

_router = APIRouter(include_in_schema=False)


@_router.get(PAGE)
async def page() -> FileResponse:
    """The page; its links are relative, so that it works behind a proxy that puts a prefix before every path."""
    return FileResponse(PAGE_FILE, media_type="text/html")


def install(app: FastAPI) -> None:
    """Serves the page and the files that it loads."""
    app.include_router(_router)
    app.mount(PAGE_FILES, GZipMiddleware(StaticFiles(directory=PAGE_FILE.parent)))
