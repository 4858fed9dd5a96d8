"""Asking the database, for commands that show what it holds."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from pzem.config import InfluxSettings
from pzem.errors import PzemError

TIMEOUT_S: Final = 10.0


class DatabaseError(PzemError):
    """The database does not answer, or not with rows; one line for people."""


def rows(settings: InfluxSettings, text: str) -> list[dict[str, Any]]:
    """Run InfluxQL and return its rows; tags and fields alike are keys, `time` in s.

    Raises `DatabaseError`, and `ConfigError` if the password cannot be read.
    """
    form = urllib.parse.urlencode({"q": text, "db": settings.database, "epoch": "s"})
    request = urllib.request.Request(  # noqa: S310 - the configuration takes http and https only
        f"{settings.url.rstrip('/')}/query", data=form.encode()
    )
    if (password := settings.password()) is not None:
        login = base64.b64encode(f"{settings.username}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=TIMEOUT_S) as answer:
            return _rows(json.load(answer))
    except urllib.error.HTTPError as error:
        raise DatabaseError(_words(error)) from error
    except TimeoutError as error:
        raise DatabaseError(f"no answer within {TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise DatabaseError("no connection") from error
    except (http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatabaseError("what answers is not InfluxDB") from error


def _rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for result in document["results"]:
        if "error" in result:
            raise DatabaseError(str(result["error"]))
        for series in result.get("series", []):
            found += [
                {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
                for values in series.get("values", [])
            ]
    return found


def _words(error: urllib.error.HTTPError) -> str:
    text = error.read(300).decode(errors="replace")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        text = json.loads(text)["error"]
    return " ".join(str(text).split()) or f"HTTP {error.code}"
