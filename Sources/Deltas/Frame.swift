import CZstd

/// One zstd frame with its content size in the header, and nothing around it.
enum Frame {
  /// Level for writing: higher ones gain nothing on packed symbols.
  static let level: Int32 = 3
  /// Largest window a reader accepts, 8 MiB.
  static let maximumWindow = 1 << 23
  private static let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]

  /// Longest frame that is read for so many bytes of content: more than any encoder needs.
  static func maximumLength(content: Int) -> Int { content + content / 128 + 512 }

  /// The frame of `content`, appended to `head`.
  static func compress(_ content: [UInt8], after head: [UInt8]) -> [UInt8] {
    let context = ZSTD_createCCtx()
    defer { ZSTD_freeCCtx(context) }
    precondition(context != nil, "zstd has no memory for a compressor")
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 0)
    let bound = ZSTD_compressBound(content.count)
    return [UInt8](unsafeUninitializedCapacity: head.count + bound) { buffer, count in
      _ = buffer.initialize(from: head)
      let length = ZSTD_compress2(
        context, buffer.baseAddress! + head.count, bound, content, content.count)
      precondition(ZSTD_isError(length) == 0, "zstd could not compress into its own bound")
      count = head.count + length
    }
  }

  /// The content of the frame at `bytes[start...]`, which must hold `size` bytes and end with
  /// `bytes`. Everything is checked before memory for the content is taken.
  static func decompress(_ bytes: [UInt8], from start: Int, size: Int) throws -> [UInt8] {
    try bytes.withUnsafeBytes { whole in
      let frame = UnsafeRawBufferPointer(rebasing: whole[start...])
      try check(frame, size: size)
      let context = ZSTD_createDCtx()
      defer { ZSTD_freeDCtx(context) }
      precondition(context != nil, "zstd has no memory for a decompressor")
      ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 23)
      var status = 0
      let content = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        status = ZSTD_decompressDCtx(
          context, buffer.baseAddress, size, frame.baseAddress, frame.count)
        count = ZSTD_isError(status) == 0 ? status : 0
      }
      guard ZSTD_isError(status) == 0 else {
        throw DeltaError.frameDamaged(String(cString: ZSTD_getErrorName(status)))
      }
      guard content.count == size else { throw DeltaError.frameContentSize(expected: size) }
      return content
    }
  }

  private static func check(_ frame: UnsafeRawBufferPointer, size: Int) throws {
    guard frame.starts(with: magic) else { throw DeltaError.frameKind }
    var header = ZSTD_frameHeader()
    guard ZSTD_getFrameHeader(&header, frame.baseAddress, frame.count) == 0 else {
      throw DeltaError.frameHeader
    }
    guard header.dictID == 0 else { throw DeltaError.frameDictionary }
    guard header.frameContentSize == UInt64(size) else {
      throw DeltaError.frameContentSize(expected: size)
    }
    guard header.windowSize <= UInt64(maximumWindow) else {
      throw DeltaError.frameWindow(limit: maximumWindow)
    }
    let length = ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count)
    guard ZSTD_isError(length) == 0 else {
      throw DeltaError.frameDamaged(String(cString: ZSTD_getErrorName(length)))
    }
    guard length == frame.count else {
      throw DeltaError.frameLength(expected: length, found: frame.count)
    }
  }
}
