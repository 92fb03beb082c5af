"""The client on a coordinator that has trained examples/trainers/synthetic_law.yaml."""

import json
import os
import sys
import tempfile

import allometry

NAME = "synthetic-law"


def main(address):
    with allometry.connect(address) as client:
        assert client.sweeps() == [NAME], client.sweeps()
        sweep = client.sweep(NAME)
        assert all(run["state"] == "RUN_SUCCEEDED" for run in sweep["runs"])
        states = list(client.watch(NAME))
        assert states and states[-1]["sweep"]["cells_done"] == sweep["sweep"]["cells"]
        cells = client.cells(NAME)
        curves = client.curves(NAME, "heldout")
        assert len(cells) == sweep["sweep"]["cells"] and len(curves) >= len(cells)
        assert curves["value"].min() > 1.7, curves
        fit = client.fit(NAME, budget=1e18, resamples=20)
        table = client.observations(NAME)
        assert "alpha" in json.dumps(fit.json) and fit.text and fit._repr_svg_().startswith("<svg")
        assert client.predict(NAME, 1e18, resamples=20).json
        assert client.submit("synthetic_law.yaml") == []  # nothing new
        try:
            client.sweep("nobody")
        except Exception as error:
            assert "nobody" in str(error), error
        else:
            raise AssertionError("an unknown sweep was found")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "points.parquet")
            client.export(NAME, path)
            import pandas

            assert len(pandas.read_parquet(path)) >= len(curves)
    # The same fit without the coordinator, from the table.
    alone = allometry.fit(table, budget=1e18, resamples=20)
    assert alone.json and alone._repr_svg_().startswith("<svg"), alone
    try:
        allometry.fit(os.devnull)
    except RuntimeError as error:
        assert str(error)
    else:
        raise AssertionError("an empty file was fitted")
    print("client: ok")


main(sys.argv[1])
