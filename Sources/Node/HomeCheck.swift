import Checkpoints
import Identities
import Ledger
import Participation
import Records
import Storage

/// Compares the base model of a home with its charter, file by file.
public enum BaseComparison {
  /// The number of files, all of which are the charter's.
  ///
  /// - Throws: ``NodeError/otherFile(name:path:reason:)`` for the first that is not.
  public static func run(home: HomeLayout, model: String) throws -> Int {
    let bytes = try DurableFile.read(home.charter, limit: Limits.charterBytesMax + 1)
    let charter: Charter
    do { charter = try Charter(bytes: bytes) } catch { throw NodeError.charter("\(error)") }
    try BaseFiles.check(Checkpoint.open(model), against: charter)
    return charter.message.base.files.count
  }
}

/// Everything that can be found wrong with a home whose daemon is down, and its mending.
public struct HomeCheck {
  /// What was found.
  public let damages: [Damage]
  /// Where a database that could not be read was put.
  public let aside: String?
  /// What is not here and why that is as it should be.
  public let notes: [String]

  /// Reads the home back: the store's own check, then every signature and what the entries say of
  /// each other and of the charter.
  ///
  /// - Parameter repair: makes damaged things ready to be fetched or concluded again.
  public static func run(
    home: HomeLayout, repair: Bool, progress: (String) -> Void
  ) throws -> HomeCheck {
    do {
      let store = try Store(home: home, readOnly: !repair)
      var notes: [String] = []
      let damages = try look(home, store, notes: &notes, progress: progress)
      if repair {
        try store.repair(damages)
        // What rests on a log that was cut goes with it, and comes back with it.
        if let charter = try? HomeCharter.read(home, store).charter {
          try HomeReplay(store, charter).mend(store)
        }
      }
      try store.close()
      guard damages.contains(where: { $0.thing == .database }) else {
        return HomeCheck(damages: damages, aside: nil, notes: notes)
      }
      let aside = repair ? try Store.setDatabaseAside(home) : nil
      return HomeCheck(damages: damages, aside: aside, notes: notes)
    } catch StorageError.damaged(let path, let reason) where path == home.database {
      let damage = Damage(thing: .database, reason: reason, isRepairable: true)
      return HomeCheck(
        damages: [damage], aside: repair ? try Store.setDatabaseAside(home) : nil,
        notes: [])
    }
  }

  private static func look(
    _ home: HomeLayout, _ store: Store, notes: inout [String], progress: (String) -> Void
  ) throws -> [Damage] {
    var damages = try store.check(verify: { (try? $0.entry()) != nil }, progress: progress)
    progress("signatures")
    do {
      let found = try HomeCharter.read(home, store)
      if let fault = found.fault {
        // The daemon writes it again from the store's copy when it starts.
        damages.append(Damage(thing: .charter, reason: fault, isRepairable: true))
      }
      var replayed = try HomeReplay(store, found.charter)
      damages += replayed.faults.map { fault in
        Damage(
          thing: .entry(lab: fault.lab, sequence: fault.sequence), reason: fault.reason,
          isRepairable: true)
      }.filter { one in !damages.contains { $0.thing == one.thing } }
      let foundation = try HomeFoundation(store, in: &replayed.logbook, reads: true)
      if let lowest = foundation.lowest, let fault = foundation.fault {
        let thing = Damage.Thing.snapshot(root: lowest.chain)
        damages.removeAll { $0.thing == thing }
        damages.append(
          Damage(
            thing: thing, reason: "it stands for payloads that are not here, and \(fault)",
            isRepairable: true))
      }
      notes = foundation.notes(in: replayed.logbook)
    } catch let error as NodeError {
      damages.append(Damage(thing: .charter, reason: oneLine(error), isRepairable: false))
    }
    return damages
  }
}
