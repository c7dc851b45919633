"""The web application: which address leads to which answer, and what is said where there is none."""

from pathlib import Path

from fastapi import FastAPI
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from defect_surrogate.errors import DefectSurrogateError, InputError
from defect_surrogate.report_server.answers import Answers
from defect_surrogate.report_server.catalogue import Catalogue
from defect_surrogate.report_server.guard import HEALTH, Guard
from defect_surrogate.report_server.pages import message_page
from defect_surrogate.report_server.visitors import Password


class _Names(Convertor[str]):
    """Whatever follows in an address. Of a name of a folder a line end can be a part, at which starlette's own would stop."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """Leave it as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Leave it as it is."""
        return value


register_url_convertor("names", _Names())


def create_app(root: Path, *, password: str | None = None) -> FastAPI:
    """Make the web application.

    Parameters
    ----------
    root
        Folder whose runs and archive are shown; nothing in it is changed.
    password
        ``SECRET`` or ``USER:SECRET``, which visitors have to say; None to ask for none, and to answer only to whoever calls
        this machine by its own name.

    Returns
    -------
    FastAPI
        For uvicorn.

    Raises
    ------
    InputError
        If the folder is none, or the password has an empty part.
    """
    if not root.is_dir():
        raise InputError(f"{root}: is not a folder whose reports could be served")
    answers = Answers(Catalogue(root.resolve()))
    routes = {
        "/": answers.index,
        HEALTH: lambda request: JSONResponse({"status": "ok"}),
        "/campaigns/{names:names}": answers.campaign,
        "/runs/{names:names}": answers.run,
        "/vacancies": answers.vacancies,
        "/vacancies.csv": answers.vacancies_csv,
        "/units": answers.units,
        "/units/{key}.vasp": answers.unit_structure,
        "/files/{names:names}": answers.file,
    }
    app = FastAPI(
        title="Vacancy searches",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={
            "auto_configure": False
        },  # or it sends who looks at what to wherever OTEL_EXPORTER_OTLP_ENDPOINT says
        routes=[Route(path, answer, methods=["GET"]) for path, answer in routes.items()],
    )
    app.add_middleware(Guard, password=None if password is None else Password.of(password))
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(DefectSurrogateError, _not_now)
    return app


def _refused(request: Request, error: Exception) -> Response:
    return message_page(404, "Nothing here", "No page or served file has this address.")


def _not_now(request: Request, error: Exception) -> Response:
    return message_page(503, "Not to be had at the moment", str(error))
