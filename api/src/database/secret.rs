//! URLs of databases for display: without passwords, even if the URL is malformed.

/// The parameters of a URL whose values are not secret.
const SHOWN: [&str; 8] = ["mode", "host", "port", "user", "dbname", "sslmode", "application_name", "options"];

/// Returns the URL with `…` instead of passwords and of anything that may be a part of one.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return with_values_hidden(url) };
    let Some((before, host)) = rest.rsplit_once('@') else {
        return format!("{scheme}://{}", with_values_hidden(rest));
    };
    let user = before.split([':', '/', '?']).next().unwrap_or_default();
    // If a path and a query come before the @, it belongs to a value of the query.
    if before.split_once('?').is_some_and(|(address, _)| address.contains('/')) {
        return format!("{scheme}://{user}…");
    }
    let password = if before == user { "" } else { ":…" };
    format!("{scheme}://{user}{password}@{}", with_values_hidden(host))
}

/// Hides the values of all parameters of the query that are not known to be harmless.
fn with_values_hidden(address: &str) -> String {
    let Some((address, query)) = address.split_once('?') else { return address.to_owned() };
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SHOWN.contains(&name) => pair.to_owned(),
        // If & was not escaped, a part of a password may look like a name.
        Some(("password", _)) => "password=…".to_owned(),
        _ => "…".to_owned(),
    });
    format!("{address}?{}", shown.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_of_a_url_is_shown() {
        for (url, shown) in [
            ("postgres://ann:secret@host/x", "postgres://ann:…@host/x"),
            ("postgres://ann:se:cr@et@host/x", "postgres://ann:…@host/x"),
            ("postgres://ann:se?cret@host/x", "postgres://ann:…@host/x"),
            ("postgres://ann:se/cret@host/x", "postgres://ann:…@host/x"),
            ("postgres://ann@host:5432/x", "postgres://ann@host:5432/x"),
            (
                "postgres://host/x?password=secret&sslmode=require",
                "postgres://host/x?password=…&sslmode=require",
            ),
            ("postgres://host:5432/x?password=se@cret", "postgres://host…"),
            ("postgres://host/x?password=se&cret", "postgres://host/x?password=…&…"),
            ("postgres://host/x?Password=secret&%70assword=secret", "postgres://host/x?…&…"),
            ("postgres://ann@host/x?passwrd=secret", "postgres://ann@host/x?…"),
            ("postgres:host?password=secret", "postgres:host?password=…"),
            ("sqlite://x.db?mode=rwc", "sqlite://x.db?mode=rwc"),
            ("sqlite://a.db", "sqlite://a.db"),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }
}
