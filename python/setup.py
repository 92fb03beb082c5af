"""Puts the coordinator's messages into the package, as descriptors: allometry/_proto/client.binpb.
The client makes its classes from them when it is imported, with whatever protobuf is installed."""

import os

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithDescriptors(build_py):
    def run(self):
        super().run()
        here = os.path.dirname(os.path.abspath(__file__))
        root = os.path.dirname(here)
        folder = os.path.join(self.build_lib, "allometry", "_proto")
        os.makedirs(folder, exist_ok=True)
        from grpc_tools import protoc

        arguments = ["protoc", f"-I{root}", "--include_imports",
                     f"--descriptor_set_out={os.path.join(folder, 'client.binpb')}",
                     os.path.join(root, "proto", "client.proto")]
        if protoc.main(arguments) != 0:
            raise SystemExit(f"protoc cannot read {root}/proto/client.proto: build the package in "
                             "its repository")


setup(cmdclass={"build_py": BuildWithDescriptors})
