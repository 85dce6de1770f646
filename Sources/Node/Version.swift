import Records

/// This release.
public let version = Release.version
