"""The page in the browser: texts are tried on pictures, which are annotated with a MONAI Label server.

These modules need the extra ``[app]``: Starlette and uvicorn, which MONAI Label uses too, serve a page of plain HTML
and JavaScript, and httpx2 talks to MONAI Label. Gradio 6.31 was considered: it refuses Pillow 13, asks its makers'
server for the newest version, has 28 dependencies, and its image editor has neither clicks nor boxes.
"""

from monai_tunevlseg.app.serving import serve
from monai_tunevlseg.app.web_app import create_app

__all__ = ["create_app", "serve"]
