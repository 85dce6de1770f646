#!/bin/sh
# Writes Sources/Records/Generated from the .proto files. Needs protobuf-compiler and
# protoc-gen-swift:
#   swift build -c release --product protoc-gen-swift \
#     --package-path .build/checkouts/swift-protobuf
# Use: Protocol/hanse/v1/generate.sh PATH_OF_protoc-gen-swift
set -eu
cd "$(dirname "$0")/../.."
protoc --plugin=protoc-gen-swift="$1" \
  --swift_opt=Visibility=Public --swift_opt=FileNaming=DropPath \
  --swift_out=../Sources/Records/Generated -I . \
  hanse/v1/bundle.proto hanse/v1/charter.proto hanse/v1/entry.proto hanse/v1/home.proto \
  hanse/v1/wire.proto
