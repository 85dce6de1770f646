import Containers

/// The steps of a tokenizer.json: each is taken over or refused by name.
extension HuggingFaceFolder {
  func normalizer() throws -> Normalizer {
    var normalizer = Normalizer()
    for step in try steps(json["normalizer"], in: "normalizers") {
      switch step["type"]?.string {
      case "NFC": normalizer.steps.append(.composed)
      case "NFD": normalizer.steps.append(.decomposed)
      case "Prepend":
        normalizer.steps.append(.prepend(Array((step["prepend"]?.string ?? "").utf8)))
      case "Replace":
        guard let old = step["pattern"]?["String"]?.string, !old.isEmpty,
          old.utf8.count <= Normalizer.patternBytesMax, let new = step["content"]?.string,
          !new.isEmpty
        else { throw unsupported("normalizer Replace of an expression, or by nothing") }
        normalizer.steps.append(.replace(Array(old.utf8), with: Array(new.utf8)))
      case let type:
        throw unsupported("normalizer \(printable(type ?? "without type"))")
      }
    }
    guard normalizer.growth <= Normalizer.growthMax else {
      throw malformed(
        "normalizer", "it makes a text more than \(Normalizer.growthMax) times as long")
    }
    return normalizer
  }

  /// The cuts, and whether bytes come of them.
  func preTokenizer() throws -> (PreTokenizer, isByteLevel: Bool) {
    var cuts: [Cut] = []
    var metaspace: Metaspace?
    var isByteLevel = false
    var prefixesSpace = false
    for step in try steps(json["pre_tokenizer"], in: "pretokenizers") {
      let type = step["type"]?.string ?? "without type"
      guard !isByteLevel else { throw unsupported("pre-tokenizer \(printable(type)) after bytes") }
      switch type {
      case "Digits": cuts.append(.digits(oneByOne: step["individual_digits"]?.bool ?? false))
      case "Split": cuts.append(try splitStep(step))
      case "Metaspace":
        guard cuts.isEmpty, metaspace == nil else {
          throw unsupported("pre-tokenizer Metaspace after another step")
        }
        let (mark, splits) = try metaspaceStep(step)
        metaspace = mark
        if splits { cuts.append(.text(mark.mark, .withNext)) }
      case "ByteLevel":
        guard metaspace == nil else { throw unsupported("Metaspace and ByteLevel") }
        isByteLevel = true
        prefixesSpace = step["add_prefix_space"]?.bool ?? true
        guard !prefixesSpace || cuts.isEmpty else {
          throw unsupported("pre-tokenizer ByteLevel with add_prefix_space after another step")
        }
        if step["use_regex"]?.bool ?? true { cuts.append(.pattern(.gpt2)) }
      default: throw unsupported("pre-tokenizer \(printable(type))")
      }
    }
    var preTokenizer = PreTokenizer(cuts, metaspace: metaspace)
    preTokenizer.prefixesSpace = prefixesSpace
    return (preTokenizer, isByteLevel)
  }

  private func splitStep(_ step: JSONValue) throws -> Cut {
    guard step["invert"]?.bool != true else { throw unsupported("a Split step that is inverted") }
    let behavior = step["behavior"]?.string ?? "without behavior"
    if let text = step["pattern"]?["String"]?.string {
      guard !text.isEmpty, text.utf8.count <= Normalizer.patternBytesMax,
        let manner = TextCut(rawValue: behavior)
      else {
        throw unsupported("a Split step at \(printable(text)) that is \(printable(behavior))")
      }
      return .text(Array(text.utf8), manner)
    }
    let text = step["pattern"]?["Regex"]?.string ?? ""
    guard let pattern = SplitPattern(expression: text) else {
      throw unsupported("the split pattern \(printable(text))")
    }
    // The known patterns match everything, so nothing lies between their matches.
    guard behavior == "Isolated" else {
      throw unsupported("a Split step that is \(printable(behavior)), not Isolated")
    }
    return .pattern(pattern)
  }

  private func metaspaceStep(_ step: JSONValue) throws -> (Metaspace, splits: Bool) {
    guard let mark = step["replacement"]?.string, mark.unicodeScalars.count == 1 else {
      throw malformed("pre_tokenizer Metaspace", "its replacement is not one character")
    }
    // Before schemes had names there was a flag.
    let named = step["prepend_scheme"]?.string
    let flag = step["add_prefix_space"]?.bool ?? true
    guard let scheme = Metaspace.Scheme(rawValue: named ?? (flag ? "always" : "never")) else {
      throw unsupported("Metaspace with prepend_scheme \(printable(named ?? ""))")
    }
    return (
      Metaspace(mark: Array(mark.utf8), scheme: scheme), step["split"]?.bool ?? true
    )
  }

  /// What decoding does with tokens that are no bytes.
  struct Decoding {
    /// How a blank is written.
    var blank: [UInt8]?
    /// Whether the blank that a text begins with goes.
    var stripsFirstBlank = false
    /// Whether tokens such as `<0x0A>` become bytes.
    var readsBytes = false
  }

  func decoding(isByteLevel: Bool, _ preTokenizer: PreTokenizer) throws -> Decoding {
    var decoding = Decoding()
    guard !isByteLevel else { return decoding }
    decoding.blank = preTokenizer.metaspace?.mark
    for step in try steps(json["decoder"], in: "decoders") {
      switch step["type"]?.string {
      case "ByteFallback": decoding.readsBytes = true
      case "Fuse": break
      case "Replace":
        guard step["content"]?.string == " ", let mark = step["pattern"]?["String"]?.string,
          !mark.isEmpty
        else { throw unsupported("decoder Replace by something else than a blank") }
        decoding.blank = Array(mark.utf8)
      case "Strip":
        guard step["content"]?.string == " ", step["stop"]?.integer ?? 0 == 0,
          let start = step["start"]?.integer, start == 0 || start == 1
        else { throw unsupported("decoder Strip of something else than one blank") }
        decoding.stripsFirstBlank = start == 1
      case "Metaspace":
        let (mark, _) = try metaspaceStep(step)
        decoding.blank = mark.mark
        decoding.stripsFirstBlank = mark.scheme != .never
      case let type:
        throw unsupported("decoder \(printable(type ?? "without type"))")
      }
    }
    return decoding
  }
}
