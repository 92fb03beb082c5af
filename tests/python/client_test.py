"""The client on a coordinator that has trained examples/trainers/synthetic_law.yaml.

    client_test.py ADDRESS        over a Unix socket
    client_test.py ADDRESS TOKEN_FILE TLS_CA

The second also imports, so that the first finds what it expects when it runs before.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import allometry
import matplotlib
import pandas

matplotlib.use("Agg")
NAME = "synthetic-law"


def raises(words, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as error:
        assert words in str(error), (words, error)
    else:
        raise AssertionError(f"{words}: nothing was raised")


def look(client):
    assert NAME in client.sweeps(), client.sweeps()
    sweep = client.sweep(NAME)
    assert all(run["state"] == "RUN_SUCCEEDED" for run in sweep["runs"])
    states = client.watch(NAME)
    assert iter(states) is states  # one after the other, not all at the end
    last = list(states)[-1]
    assert last["sweep"]["cells_done"] == sweep["sweep"]["cells"]
    raises("nobody", client.sweep, "nobody")
    raises("nobody", lambda: list(client.watch("nobody")))


def tables(client):
    cells, curves = client.cells(NAME), client.curves(NAME, "heldout")
    assert isinstance(cells, pandas.DataFrame) and isinstance(curves, pandas.DataFrame)
    assert len(cells) == client.sweep(NAME)["sweep"]["cells"] and len(curves) >= len(cells)
    assert (curves.groupby("run_id")["step"].diff().dropna() > 0).all()
    # The law that the script prints.
    params = cells["params"].astype(float)
    law = 1.7 + 400 / params ** 0.34 + 410 / cells["tokens"].astype(float) ** 0.28
    assert (abs(cells["loss"] - law) < 1e-9).all(), cells
    with tempfile.TemporaryDirectory() as folder:
        for what, rows in (("points", len(curves)), ("observations", len(cells))):
            for ending, read in ((".parquet", pandas.read_parquet), (".csv", pandas.read_csv)):
                path = os.path.join(folder, what + ending)
                client.export(NAME, path, what=what)
                assert len(read(path)) >= rows, (path, rows)
        parquet = pandas.read_parquet(os.path.join(folder, "observations.parquet"))
        assert parquet["loss"].dtype == float and parquet["tokens"].dtype.kind == "i"
        assert parquet["loss"].tolist() == client.observations(NAME)["loss"].tolist()


def fits(client):
    fit = client.fit(NAME, budget=[1e18, 1e19], resamples=20)
    assert fit.text and fit._repr_svg_().startswith("<svg")
    law = fit["fits"][0]["parameters"]
    assert abs(law["alpha"]["estimate"] - 0.34) < 0.01, law
    answers = client.predict(NAME, 1e18, resamples=20)["conclusion"]["answers"]
    assert len(answers) == 1 and answers[0]["flops"] == 1e18
    # The same fit without the coordinator, from the table.
    alone = allometry.fit(client.observations(NAME), budget=[1e18, 1e19], resamples=20)
    assert alone["fits"][0]["parameters"]["alpha"] == law["alpha"]
    for one in (fit, alone):
        axes = one.plot()
        assert axes.get_xlabel().startswith("training compute")
        assert len(axes.collections[0].get_offsets()) == one["observations"]["total"]
        assert len(axes.get_legend().get_texts()) >= 1
        with tempfile.TemporaryDirectory() as folder:
            axes.figure.savefig(os.path.join(folder, "fit.png"))
            assert os.path.getsize(os.path.join(folder, "fit.png")) > 5000
    raises("empty", allometry.fit, os.devnull)
    raises("median", client.fit, NAME, objective="median")


def imports(client):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "runs.csv")
        client.export(NAME, path, what="observations")
        new = client.imported("old", "csv", path)
        assert new == len(client.observations(NAME)), new
        assert client.imported("old", "csv", path) == 0
        theirs, ours = (client.fit(name, resamples=20)["fits"][0]["parameters"]
                        for name in ("old", NAME))
        assert abs(theirs["alpha"]["estimate"] - ours["alpha"]["estimate"]) < 1e-9
        events(client, os.path.join(folder, "logs"))


def events(client, folder):
    """Event files as tensorboard writes them, read by its own reader."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util import tensor_util

    for name, params in (("small", 1e6), ("big/one", 4e6)):
        writer = EventFileWriter(os.path.join(folder, name))
        for step in range(1, 6):
            loss = 1.7 + 400 / params ** 0.34 + 41 / (step * 65536.0) ** 0.28
            # The first as TensorFlow 1 and PyTorch log it, the other as TensorFlow 2.
            values = [summary_pb2.Summary.Value(tag="eval/loss", simple_value=loss)]
            if name != "small":
                values = [summary_pb2.Summary.Value(
                    tag="eval/loss", tensor=tensor_util.make_tensor_proto(loss))]
            writer.add_event(event_pb2.Event(step=step, wall_time=float(step),
                                             summary=summary_pb2.Summary(value=values)))
        writer.close()
    table = os.path.join(folder, "sizes.csv")
    Path(table).write_text("run,params\nsmall,1e6\nbig/one,4e6\n")
    os.environ["ALLO_PYTHON"] = sys.executable
    assert client.imported("events", "tensorboard", folder, batch_tokens=65536, table=table) == 10
    rows = client.observations("events")
    assert sorted(set(rows["params"])) == [1000000, 4000000] and rows["tokens"].max() == 5 * 65536
    raises("--batch-tokens", client.imported, "none", "tensorboard", os.path.dirname(table) + "/small/..",
           column="loss=nothing")


def main(address, token_file=None, tls_ca=None):
    if token_file is None:
        with allometry.connect(address) as client:
            look(client)
            tables(client)
            fits(client)
            assert client.submit("synthetic_law.yaml") == []  # nothing new
            # A trainer need not name files.
            without = Path("synthetic_law.yaml").read_text().replace("files: [", "# files: [")
            Path("no_files.yaml").write_text(without.replace("name: ", "name: no-files-", 1))
            assert client.submit("no_files.yaml", dry_run=True)
            imports(client)
    else:
        token = Path(token_file).read_text().split()[0]
        raises("token and tls_ca", allometry.connect, address)
        with allometry.connect(address, token=token, tls_ca=tls_ca) as client:
            look(client)
            assert client.submit("synthetic_law.yaml", dry_run=True) == []
            assert json.dumps(client.fit(NAME, resamples=20).json)
        with allometry.connect(address, token="wrong" * 8, tls_ca=tls_ca) as client:
            raises("the token is not one of those", client.sweeps)
    print("client: ok")


main(*sys.argv[1:])
