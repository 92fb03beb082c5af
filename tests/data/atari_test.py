"""Traces give their games again, the recorder their datasets, the server its protocol: with ale-py."""
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

ATARI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data", "atari")
sys.path.insert(0, ATARI)
import action_trace  # noqa: E402
import emulator      # noqa: E402

SHIPPED = sorted(glob.glob(os.path.join(ATARI, "traces", "*.trace")))


def tool(name, *arguments, **options):
    return subprocess.run([sys.executable, os.path.join(ATARI, name), *arguments], capture_output=True, **options)


class AtariTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="allo-atari-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)


class TraceTest(AtariTest):
    def test_every_shipped_trace_plays_as_it_did_and_its_player_is_an_expert(self):
        self.assertGreaterEqual(len(SHIPPED), 8)
        self.assertLess(sum(os.path.getsize(path) for path in SHIPPED), 4 << 20)
        for path in SHIPPED:
            with self.subTest(path):
                head, _, _ = action_trace.replay(path)
                best = [e["return"] for e in head["episodes"] if e["epsilon"] == 0]
                self.assertGreater(sum(best) / len(best), 3 * head["random_return"])

    def test_another_action_is_found(self):
        head, actions = action_trace.read(SHIPPED[0])
        actions = bytearray(actions)
        for i in range(100, 120):
            actions[i] = (actions[i] + 1) % emulator.ACTIONS
        action_trace.write(self.path("other.trace"), head, actions)
        result = tool("action_trace.py", "check", self.path("other.trace"), text=True)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"other\.trace: (after step 500|episode 0 returns)")

    def test_damaged_files_are_a_sentence(self):
        with open(SHIPPED[0], "rb") as file:
            whole = file.read()
        head, actions = action_trace.read(SHIPPED[0])
        cases = {"cut": whole[:-20], "text": b"no trace", "empty": b""}
        for name, contents in cases.items():
            with open(self.path(name), "wb") as file:
                file.write(contents)
        action_trace.write(self.path("short"), head, actions[:-1])
        action_trace.write(self.path("other-game"), {**head, "game": "pong"}, actions)
        action_trace.write(self.path("no-game"), {**head, "game": "chess"}, actions)
        for name in [*cases, "short", "other-game", "no-game", "missing"]:
            result = tool("action_trace.py", "check", self.path(name), text=True)
            self.assertEqual(result.returncode, 1, name)
            self.assertIn(name, result.stderr)
            self.assertNotIn("Traceback", result.stderr)

    def test_a_new_trace_is_a_function_of_its_seed(self):
        for name in "ab":
            made = tool("action_trace.py", "make", "freeway", "--player", "script", "--steps", "120", "--cap", "60",
                        "--output", self.path(name), text=True)
            self.assertEqual(made.returncode, 0, made.stderr)
        with open(self.path("a"), "rb") as a, open(self.path("b"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.assertEqual(tool("action_trace.py", "check", self.path("a")).returncode, 0)


class RecorderTest(AtariTest):
    def test_a_trace_gives_the_same_dataset_each_time(self):
        hashes = []
        for name in ["first", "second"]:
            made = tool("record.py", "--trace", SHIPPED[0], "--name", name, "--data-dir", self.folder, text=True)
            self.assertEqual(made.returncode, 0, made.stderr)
            with open(os.path.join(self.folder, name, "dataset.json")) as file:
                manifest = json.load(file)
            hashes.append([shard["hash"] for shard in manifest["shards"]])
            verified = subprocess.run([os.environ["ALLO"], "data", "verify", name, "--data-dir", self.folder],
                                      capture_output=True, text=True)
            self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        self.assertEqual(hashes[0], hashes[1])

    def test_outcomes_are_the_rewards_and_ends_of_the_trace(self):
        trace = next(path for path in SHIPPED if "freeway" in path)
        made = tool("record.py", "--trace", trace, "--outcomes", "--name", "worlds", "--data-dir", self.folder, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        with open(os.path.join(self.folder, "worlds", "dataset.json")) as file:
            manifest = json.load(file)
        self.assertEqual(manifest["frames"]["tokens_per_outcome"], 1)
        outcome = manifest["segments"][-1]
        self.assertEqual((outcome["name"], outcome["end"] - outcome["begin"]), ("outcome", 6))
        head, rewards, ends = action_trace.replay(trace)
        games, step = [], 0
        length = manifest["frames"]["frames_per_episode"]
        for episode in head["episodes"]:
            whole = episode["steps"] // length * length
            games.append([3 * ends[i] + (rewards[i] > 0) - (rewards[i] < 0) + 1 for i in range(step, step + whole)])
            step += episode["steps"]
        # Those that are held out come last: every twentieth, or the last of fewer.
        last = [i % 20 == 19 if len(games) >= 20 else i == len(games) - 1 for i in range(len(games))]
        expected = [outcome for wanted in (False, True) for game, held in zip(games, last) if held == wanted
                    for outcome in game]
        tokens = [np.load(os.path.join(self.folder, "worlds", shard["file"])) for shard in manifest["shards"]
                  if shard.get("role", "tokens") == "tokens"]
        found = np.concatenate([t.reshape(-1, 66)[:, -1] for t in tokens]) - outcome["begin"]
        self.assertEqual(found.tolist(), expected)
        self.assertGreater(expected.count(2), 3)  # chickens that crossed
        verified = subprocess.run([os.environ["ALLO"], "data", "verify", "worlds", "--data-dir", self.folder],
                                  capture_output=True, text=True)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)


class ServerTest(AtariTest):
    FRAME = emulator.SIDE * emulator.SIDE * 3

    def play(self, requests, *options):
        result = tool("serve.py", *options, input=requests)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def test_answers_are_as_the_protocol_says(self):
        begin = struct.pack("<cIB", b"I", 2, 6) + b"boxing"
        reset = b"R" + struct.pack("<2q", 5, 6)
        steps = b"".join(b"S" + bytes([k % 18, 0]) for k in range(12))
        answer = self.play(begin + reset + steps + b"Q", "--cap", "10")
        self.assertEqual(struct.unpack("<IHHB", answer[:9]), (18, 64, 64, 3))
        step = 2 * 4 + 2 + 2 * self.FRAME
        self.assertEqual(len(answer), 9 + 2 * self.FRAME + 12 * step)
        flags = [answer[9 + 2 * self.FRAME + k * step + 8] for k in range(12)]
        self.assertEqual(flags, [0] * 9 + [4] * 3)
        # The same episode in the other place, and the one that is left: the same frames.
        again = self.play(begin + b"R" + struct.pack("<2q", 6, 5) + b"R" + struct.pack("<2q", -1, 6))
        first, second = (answer[9 + i * self.FRAME:9 + (i + 1) * self.FRAME] for i in range(2))
        frames = [again[9 + i * self.FRAME:9 + (i + 1) * self.FRAME] for i in range(4)]
        self.assertEqual(frames, [second, first, second, second])

    def test_wrong_requests_end_it_with_a_sentence(self):
        begin = struct.pack("<cIB", b"I", 1, 6) + b"boxing"
        for requests, said in [(b"S", "I comes first"), (begin + b"X", "I comes first"),
                               (begin + b"R" + struct.pack("<q", 0) + b"S\x12", "action 18"),
                               (struct.pack("<cIB", b"I", 1, 5) + b"chess", "no game 'chess'"),
                               (begin + b"R\0", "ended early")]:
            result = tool("serve.py", input=requests)
            self.assertEqual(result.returncode, 1)
            self.assertIn(said, result.stderr.decode())
            self.assertNotIn("Traceback", result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
