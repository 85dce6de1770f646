/// What this build is.
public enum Release {
  /// Its version, the same for every program of the project.
  public static let version = "0.1.0"
}
