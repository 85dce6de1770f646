import Transformers

/// Why training, evaluation or generation could not go on.
public enum TrainingError: Error, CustomStringConvertible, Sendable, Equatable {
  /// A setting is out of bounds.
  case setting(name: String, value: String, allowed: String)
  /// There is not one full window of text to train on.
  case tooLittleText(tokens: Int, length: Int)
  /// Nothing can be predicted: there is no window of two tokens.
  case nothingToEvaluate
  /// A token id is beyond the model's vocabulary.
  case tokenOutOfRange(token: Int32, vocabulary: Int)
  /// The loss or the gradient stopped being a number.
  case diverged(step: Int)
  /// A saved run was made with something else than what is given now.
  case doesNotContinue(path: String, what: String, saved: String, given: String)
  /// A saved run's file is damaged.
  case damagedState(path: String, reason: String)
  /// The memory there is does not hold the model and its training; bytes.
  case tooLittleMemory(MemoryNeeds, available: Int)
  /// The text is longer than the model's positions.
  case tooLong(tokens: Int, limit: Int)

  public var description: String {
    switch self {
    case .setting(let name, let value, let allowed):
      "\(name) is \(value)\nhint: it must be \(allowed)"
    case .tooLittleText(let tokens, let length):
      "the text has \(tokens) tokens, less than one window of \(length)\n"
        + "hint: give more text or a smaller --length"
    case .nothingToEvaluate:
      "the text has fewer than two tokens, so nothing can be predicted\nhint: give more text"
    case .tokenOutOfRange(let token, let vocabulary):
      "token \(token) is beyond the model's vocabulary of \(vocabulary)\n"
        + "hint: the tokenizer and the weights are of different models"
    case .diverged(let step):
      "the loss or its gradient is not a number at step \(step)\n"
        + "hint: use a smaller --learning-rate or a longer --warmup"
    case .doesNotContinue(let path, let what, let saved, let given):
      "\(path): the saved run has \(what) \(saved), but now it is \(given)\n"
        + "hint: resume with the settings, model and data the run began with"
    case .damagedState(let path, let reason):
      "\(path): \(reason)\nhint: delete the file and train again without --resume"
    case .tooLittleMemory(let needs, let available):
      "training needs about \(needs.peak >> 20) MiB (\(needs.text)), "
        + "with activations computed again, but only \(available >> 20) MiB may be taken\n"
        + "hint: use a smaller --length or --rank, --dtype bf16, or a machine with more memory"
    case .tooLong(let tokens, let limit):
      "prompt and answer are \(tokens) tokens, more than the model's \(limit)\n"
        + "hint: shorten the prompt or lower --max-tokens"
    }
  }
}
