import GRDB

/// The tables, as the steps that made them. A step that was released is never changed.
enum Schema {
  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1 logs, objects, values") { database in
      try logs(database)
      try objects(database)
      try values(database)
    }
    return migrator
  }

  /// `arrival` is the order in which this node came to know entries: a later one never changes what
  /// an earlier one said, so replaying in this order needs no sorting.
  private static func logs(_ database: Database) throws {
    for table in ["entries", "forks"] {
      try database.execute(
        sql: """
          CREATE TABLE \(table) (
            arrival INTEGER PRIMARY KEY AUTOINCREMENT,
            lab BLOB NOT NULL CHECK (length(lab) = 32),
            sequence INTEGER NOT NULL CHECK (sequence > 0),
            id BLOB NOT NULL UNIQUE CHECK (length(id) = 32),
            body BLOB NOT NULL,
            signature BLOB NOT NULL CHECK (length(signature) = 64),
            received INTEGER NOT NULL
          );
          """)
    }
    try database.execute(
      sql: """
        CREATE UNIQUE INDEX entries_by_place ON entries (lab, sequence);
        CREATE INDEX forks_by_place ON forks (lab, sequence);
        """)
  }

  /// `held` has one bit a block, lowest bit first, and only bits of blocks that were synced.
  private static func objects(_ database: Database) throws {
    try database.execute(
      sql: """
        CREATE TABLE objects (
          id BLOB PRIMARY KEY CHECK (length(id) = 32),
          size INTEGER NOT NULL,
          block_size INTEGER NOT NULL,
          blocks BLOB NOT NULL,
          held BLOB NOT NULL,
          complete INTEGER NOT NULL,
          begun INTEGER NOT NULL
        ) WITHOUT ROWID;
        """)
  }

  private static func values(_ database: Database) throws {
    try database.execute(
      sql: """
        CREATE TABLE own_values (
          name TEXT PRIMARY KEY, value BLOB NOT NULL, sum BLOB NOT NULL
        ) WITHOUT ROWID;
        """)
  }
}
