"""Allometry in Python.

    allometry.trainer               for training scripts; needs nothing else
    allometry.connect(address)      a coordinator's sweeps, curves, fits (pip install allometry[client])
    allometry.fit(table)            a fit of a CSV file or a DataFrame, by the program `allo`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .fitting import Fit, fit

if TYPE_CHECKING:
    from .client import Client

__version__ = "0.1.0"
__all__ = ["Fit", "connect", "fit"]


def connect(address: Optional[str] = None, token: Optional[str] = None,
            tls_ca: Optional[str] = None, **options: Any) -> "Client":
    """A coordinator: "unix:PATH", which needs nothing more, or "HOST:PORT" with the token (the text,
    not the file) and the PEM file of the authority that signed its certificate. Without an address
    that of ALLO_COORDINATOR."""
    from .client import Client

    return Client(address, token, tls_ca, **options)
