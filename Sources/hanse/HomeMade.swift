import Control

/// What `hanse init --json` prints.
struct Founded: Page {
  var federation: String
  var federationName: String
  var lab: String
  var labName: String
  var fingerprint: String
  var parameters: Int
  var home: String

  func lines() -> [String] {
    [
      "founded \(PlainText.escape(federationName))  \(Figures.short(federation))",
      "  lab          \(PlainText.escape(labName))  \(Figures.short(lab))",
      "  fingerprint  \(fingerprint)",
      "  adapter      \(Figures.count(UInt64(parameters))) parameters",
      "  home         \(PlainText.escape(home))", "",
      "start the node   hansed --home \(PlainText.escape(home))",
      "let others in    hanse invite --home \(PlainText.escape(home))",
    ]
  }
}

/// What `hanse join --json` prints.
struct Joined: Page {
  var federation: String
  var federationName: String
  var lab: String
  var labName: String
  var fingerprint: String
  var home: String

  func lines() -> [String] {
    [
      "asked to join \(PlainText.escape(federationName))  \(Figures.short(federation))",
      "  lab          \(PlainText.escape(labName))  \(Figures.short(lab))",
      "  fingerprint  \(fingerprint)",
      "  home         \(PlainText.escape(home))", "",
      "read the fingerprint to a member over another channel; they run",
      "                 hanse approve \(fingerprint)",
      "start the node   hansed --home \(PlainText.escape(home))",
    ]
  }
}
