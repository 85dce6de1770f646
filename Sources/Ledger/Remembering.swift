import Identities
import Records

/// How a set of contributions is written as a merge.
///
/// A frontier names each log as far as the set's last contribution in it, and what is not in the
/// set before that: entries behind it change nothing.
struct Writing: Sendable {
  /// Of the contributions.
  let digest: ContentID
  /// The newest seal.
  let seal: ContentID
  /// How often the logs had been counted anew.
  let recounts: UInt64
  let merge: Hanse_V1_Merge
}

/// A set of contributions that has the base of each of its members.
struct Closed: Sendable {
  var set = PlaceSet()
  /// Of the members, ascending.
  var rounds: [UInt32] = []

  /// How many members are of a round or earlier ones.
  func count(upTo round: UInt32) -> Int {
    var low = 0
    var high = rounds.count
    while low < high {
      let middle = (low + high) / 2
      if rounds[middle] <= round { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
