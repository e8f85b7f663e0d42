//! What a database URL may say.

use api::database::Database;

#[tokio::test]
async fn a_url_that_is_not_usable_says_what_is() {
    for (url, reason) in [
        ("mysql://root@localhost/x", "neither SQLite nor PostgreSQL"),
        ("", "neither SQLite nor PostgreSQL"),
        ("sqlite::memory:", "cannot be shared"),
        ("sqlite:///nowhere/at/all.db?mode=rwc", "cannot open the database"),
        ("sqlite://x.db?mode=sideways", "mode"),
        ("postgres://me:secret@127.0.0.1:1/x", "cannot open the database postgres://me:…@127.0.0.1:1/x"),
    ] {
        let error = Database::connect(url).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
