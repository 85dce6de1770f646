import Identities
import Ledger
import Participation
import Records
import Storage

/// Gives a home whose key is lost another one, which the members can approve.
public enum KeyRecovery {
  /// A key that waits for the members.
  public struct Result: Sendable {
    /// The lab, whose id stays.
    public let lab: LabID
    /// Of the new key: what members compare before they propose it.
    public let fingerprint: String
    /// The line for `hanse propose rotate`.
    public let line: String
  }

  /// Makes a key in the place of the lost one. Asked again, it gives the same line.
  ///
  /// - Parameter subject: the lab by name or id; nil where the home itself knows whose it is.
  /// - Throws: when the home has the key that the roster names, or it is not known whose it is.
  public static func request(home path: String, lab subject: String?) throws -> Result {
    let home = HomeLayout(path)
    guard DurableFile.exists(home.charter) else { throw home.absence }
    if let holder = Store.holder(of: home) { throw StorageError.locked(path: path, holder: holder) }
    let store = try Store(home: home, readOnly: true)
    defer { try? store.close() }
    let charter = try HomeCharter.read(home, store).charter
    let logbook = try HomeReplay(store, charter).logbook
    let noted = try KeyFile.lab(in: home)
    let kept = (try? store.value(OwnValue.lab)).flatMap { LabID(bytes: $0) }
    let lab = try subject.map { try find($0, in: logbook) } ?? noted ?? kept
    guard let lab else {
      throw NodeError.recovery(
        "\(path) does not say whose home it is", hint: "give --lab with the lab's name or id")
    }
    if let known = noted ?? kept, known != lab {
      throw NodeError.recovery(
        "\(path) is the home of lab \(known.short), not of \(lab.short)",
        hint: "leave --lab out, or name that lab")
    }
    guard logbook.roster.cutoffs[lab] == nil else {
      throw NodeError.recovery(
        "lab \(lab.short) was removed by the members", hint: "it may ask anew: hanse join")
    }
    let held = try heldKey(in: home)
    if let held, noted != lab || logbook.roster.member(lab)?.key == held.publicKey {
      throw NodeError.recovery(
        "\(home.key) is there and whole: nothing is lost",
        hint: "for a new key run `hanse rotate-key` while the daemon runs")
    }
    let key = held ?? SigningKey.generate()
    if held == nil { try KeyFile.replaceLost(with: key, of: lab, in: home) }
    return Result(
      lab: lab, fingerprint: key.publicKey.fingerprint,
      line: KeyRotationText.write(Hanse_V1_KeyRotation(of: lab, to: key)))
  }

  /// The home's key, if it is there and whole.
  private static func heldKey(in home: HomeLayout) throws -> SigningKey? {
    do throws(StorageError) {
      return try KeyFile.read(in: home)
    } catch {
      switch error {
      case .brokenKey, .notAHome, .incompleteHome: return nil
      default: throw error
      }
    }
  }

  private static func find(_ subject: String, in logbook: Logbook) throws -> LabID {
    if let lab = LabID(text: subject) { return lab }
    let found = logbook.roster.members.filter {
      $0.name == subject || (subject.utf8.count >= 4 && $0.lab.description.hasPrefix(subject))
    }
    guard found.count == 1 else {
      throw NodeError.recovery(
        found.isEmpty
          ? "no lab is called \(oneLine(subject)) in the logs of this home"
          : "\(found.count) labs are called \(oneLine(subject))",
        hint: "give --lab with the whole lab id, as hanse roster --json shows it")
    }
    return found[0].lab
  }

  private static func oneLine(_ text: String) -> String { text.prefix(80).debugDescription }
}
