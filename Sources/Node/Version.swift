/// This release.
public let version = "0.1.0"
