"""What a coordinator knows. Needs grpcio and protobuf."""

from __future__ import annotations

import csv
import getpass
import importlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

try:
    import grpc
    from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
except ImportError as error:
    raise ImportError("allometry.connect needs grpcio and protobuf: "
                      "pip install 'allometry[client]'") from error

from .fitting import Fit, _flags, run_allo

_SERVICE = "allometry.v1.ClientService"


def _load_pool() -> Any:
    """A pool of its own, so that no other package's messages are met."""
    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet()
    files.ParseFromString((Path(__file__).parent / "_proto" / "client.binpb").read_bytes())
    for file in files.file:
        pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _load_pool()


def _class(descriptor: Any) -> Any:
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(_POOL).GetPrototype(descriptor)


def _table(rows: List[Dict[str, Any]]) -> Any:
    """A DataFrame of pandas, or of polars, or the rows themselves."""
    for name in ("pandas", "polars"):
        try:
            return importlib.import_module(name).DataFrame(rows)
        except ImportError:
            continue
    return rows


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


class CoordinatorError(RuntimeError):
    """What the coordinator answers instead: its sentence, and gRPC's code ("NOT_FOUND")."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.details() or str(error.code()))
        self.code: str = error.code().name


def _sentences(replies: Any) -> Iterator[Any]:
    try:
        yield from replies
    except grpc.RpcError as error:
        raise CoordinatorError(error) from error


def _user() -> "tuple[tuple[str, str], ...]":
    """Whose call it is, as the program `allo` says it."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # no such user on this machine
        name = str(os.geteuid())
    return (("allo-user", "".join(c if "!" <= c <= "~" else "?" for c in name)),)


class Client:
    def __init__(self, address: Optional[str], token: Optional[str], tls_ca: Optional[str],
                 timeout_s: float = 60.0) -> None:
        self.address = address or os.environ.get("ALLO_COORDINATOR", "")
        self.timeout_s = timeout_s
        if not self.address:
            raise ValueError("no address: give 'unix:PATH' or 'HOST:PORT', or set ALLO_COORDINATOR")
        self._token = token
        if self.address.startswith("unix:"):
            self._channel = grpc.insecure_channel(self.address)
        else:
            if not token or not tls_ca:
                raise ValueError(f"{self.address} is TCP: it needs token and tls_ca")
            credentials = grpc.composite_channel_credentials(
                grpc.ssl_channel_credentials(Path(tls_ca).read_bytes()),
                grpc.access_token_call_credentials(token))
            self._channel = grpc.secure_channel(self.address, credentials)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, **fields: Any) -> Any:
        """Any method of proto/client.proto; a stream gives an iterator."""
        found = _POOL.FindServiceByName(_SERVICE).methods_by_name[method]
        kind = self._channel.unary_stream if found.server_streaming else self._channel.unary_unary
        request = json_format.ParseDict(fields, _class(found.input_type)(), descriptor_pool=_POOL)
        function = kind(f"/{_SERVICE}/{method}",
                        request_serializer=lambda message: message.SerializeToString(),
                        response_deserializer=_class(found.output_type).FromString)
        if found.server_streaming:
            return _sentences(function(request, metadata=_user()))
        try:
            return function(request, timeout=self.timeout_s, metadata=_user())
        except grpc.RpcError as error:
            raise CoordinatorError(error) from error

    def sweeps(self) -> List[str]:
        return [sweep.name for sweep in self.call("ListSweeps").sweeps]

    def sweep(self, name: str) -> Dict[str, Any]:
        reply = self.call("GetSweep", name=name)
        return dict(json_format.MessageToDict(reply, preserving_proto_field_name=True,
                                              descriptor_pool=_POOL))

    def _allo(self, *arguments: str) -> Dict[str, Any]:
        """What the program `allo` prints as JSON, on this coordinator."""
        words = ["--json", "--coordinator", self.address, *arguments]
        with tempfile.TemporaryDirectory() as folder:  # of this user alone
            if self._token:
                token_file = Path(folder) / "token"
                token_file.touch(mode=0o600)
                token_file.write_text(self._token + "\n")
                words[:0] = ["--token-file", str(token_file)]
            return dict(json.loads(run_allo(words)))

    def submit(self, file: "str | os.PathLike[str]", data_dir: "str | os.PathLike[str] | None" = None,
               dry_run: bool = False) -> List[str]:
        """Submits a sweep file by the program `allo`, which reads its dataset and the files of its
        trainer; returns what it adds."""
        arguments = ["submit", os.fspath(file)]
        arguments += ["--data-dir", os.fspath(data_dir)] if data_dir else []
        arguments += ["--dry-run"] if dry_run else []
        return list(self._allo(*arguments).get("changes", []))

    def imported(self, name: str, format: str, *paths: "str | os.PathLike[str]",
                 **options: Any) -> int:
        """Imports finished runs by the program `allo` (docs/import.md): format is csv, wandb-csv,
        mlflow or tensorboard; options are those of `allo import`. How many points are new."""
        files = [os.fspath(path) for path in paths]
        return int(self._allo("import", format, name, *files, *_flags(None, options))
                   .get("new_points", 0))

    def watch(self, name: str) -> Iterator[Dict[str, Any]]:
        """The sweep's state now and after every change, until it has ended."""
        for reply in self.call("WatchSweep", name=name):
            yield dict(json_format.MessageToDict(reply, preserving_proto_field_name=True,
                                                 descriptor_pool=_POOL))

    def _export(self, name: str, what: str, series: str) -> List[Dict[str, Any]]:
        text = "".join(piece.csv for piece in self.call(
            "Export", sweep=name, what=what, series=series, allow_repeat=True))
        return [{key: _value(value) for key, value in row.items()}
                for row in csv.DictReader(io.StringIO(text))]

    def curves(self, name: str, series: str = "") -> Any:
        """Every point of a sweep's curves, of one series or of all."""
        return _table(self._export(name, "points", series))

    def observations(self, name: str) -> Any:
        """What a fit reads: params, tokens, loss."""
        return _table(self._export(name, "observations", "heldout"))

    def cells(self, name: str) -> Any:
        return _table([json_format.MessageToDict(cell, preserving_proto_field_name=True,
                                                 descriptor_pool=_POOL)
                       for cell in self.call("GetSweep", name=name).cells])

    def fit(self, name: str, budget: Union[float, Sequence[float], None] = None,
            **options: Any) -> Fit:
        """Options are the fields of FitOptions in proto/client.proto."""
        reply = self.call("Fit", sweep=name, options=self._options(budget, options))
        return Fit(reply.report_json, reply.report_text, reply.report_svg,
                   self._export(name, "observations", options.get("series", "heldout")))

    def predict(self, name: str, budget: Union[float, Sequence[float]], **options: Any) -> Fit:
        reply = self.call("Predict", sweep=name, options=self._options(budget, options))
        return Fit(reply.report_json, reply.report_text,
                   points=self._export(name, "observations", options.get("series", "heldout")))

    @staticmethod
    def _options(budget: Union[float, Sequence[float], None],
                 options: Dict[str, Any]) -> Dict[str, Any]:
        budgets = [] if budget is None else [budget] if isinstance(budget, (int, float)) else budget
        return {"budgets_flops": [float(b) for b in budgets], **options}

    def export(self, name: str, path: "str | os.PathLike[str]", what: str = "points") -> None:
        """To Parquet (with pandas and pyarrow, or polars), or to CSV where the path ends so."""
        rows = self._export(name, what, "heldout" if what == "observations" else "")
        if os.fspath(path).endswith(".csv"):
            with open(path, "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]) if rows else [])
                writer.writeheader()
                writer.writerows(rows)
            return
        table = _table(rows)
        if hasattr(table, "to_parquet"):
            table.to_parquet(path)
        elif hasattr(table, "write_parquet"):
            table.write_parquet(path)
        else:
            raise ImportError("Parquet needs pandas and pyarrow, or polars; a path that ends in .csv "
                              "needs neither")
