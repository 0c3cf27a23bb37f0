//! Splits the URLs of the backends that many processes share. Several hosts make no URL by the standard, so each is read by itself.

use std::fmt;

use domain::text::percent;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use url::Url;

/// Whatever isn't plain in every part of a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a text is no URL of a backend. Never repeats what may be a part of a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a url like {example}: {reason}")]
pub struct MalformedUrl {
    example: &'static str,
    reason: String,
}

/// What the URLs of a backend look like: `scheme://[user[:password]@]host[:port][,host[:port]…][/path][?name=value[&…]]`.
pub(crate) struct UrlForm {
    /// Stands in errors.
    pub(crate) example: &'static str,
    /// All mean the same, unless the backend says otherwise.
    pub(crate) schemes: &'static [&'static str],
    /// The port of a host that names none.
    pub(crate) port: Option<u16>,
    /// The parameters that mean something.
    pub(crate) parameters: &'static [&'static str],
}

/// The parts of such a URL. User, password and the values of parameters are decoded, the path is as it was written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UrlParts {
    pub(crate) scheme: &'static str,
    /// The user, and the password if there is one.
    pub(crate) login: Option<(String, Option<String>)>,
    /// `host` or `host:port`; at least one.
    pub(crate) hosts: Vec<String>,
    /// Without the slash before it.
    pub(crate) path: String,
    parameters: Vec<(&'static str, String)>,
}

impl UrlForm {
    pub(crate) fn malformed(&self, reason: String) -> MalformedUrl {
        MalformedUrl { example: self.example, reason }
    }

    /// Splits a text. The error is the reason for a [`MalformedUrl`].
    pub(crate) fn split(&self, text: &str) -> Result<UrlParts, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
        let known = self.schemes.iter().find(|known| **known == scheme);
        let scheme = *known.ok_or_else(|| format!("its scheme is not {}", self.schemes.join(" or ")))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // Whatever stands before an @ may be a password's.
        if rest.contains(['@', '#']) {
            return Err(
                "in a user or password / ? and # have to be percent-encoded, elsewhere @ and #".to_owned()
            );
        }
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(self.login(login)?), hosts),
            None => (None, authority),
        };
        // Without an @, what stands behind a colon may be a password whose host was forgotten.
        let shown = |text: &str| match text.split_once(':') {
            Some((before, _)) if login.is_none() => format!("`{before}:…`"),
            _ => format!("`{text}`"),
        };
        let host = |text: &str| {
            self.host(scheme, text).ok_or_else(|| format!("{} is not host or host:port", shown(text)))
        };
        let hosts = hosts.split(',').map(host).collect::<Result<_, _>>()?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix('/').unwrap_or(path).to_owned();
        let mut parts = UrlParts { scheme, login, hosts, path, parameters: Vec::new() };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let known = self.parameters.iter().find(|known| **known == name);
            let known = known.ok_or_else(|| {
                format!("it has no parameter `{name}`; there is {}", self.parameters.join(", "))
            })?;
            parts.set(known, decoded(value)?);
        }
        Ok(parts)
    }

    fn login(&self, text: &str) -> Result<(String, Option<String>), String> {
        match text.split_once(':') {
            Some((user, password)) => Ok((decoded(user)?, Some(decoded(password)?))),
            None => Ok((decoded(text)?, None)),
        }
    }

    fn host(&self, scheme: &str, text: &str) -> Option<String> {
        let url = Url::parse(&format!("{scheme}://{text}")).ok()?;
        let host = url.host_str().filter(|host| !host.is_empty() && matches!(url.path(), "" | "/"))?;
        match url.port().or(self.port) {
            Some(port) => (port > 0).then(|| format!("{host}:{port}")),
            None => Some(host.to_owned()),
        }
    }
}

impl UrlParts {
    /// The host, where there may be only one.
    pub(crate) fn only_host(&self) -> Result<&str, String> {
        match &*self.hosts {
            [host] => Ok(host),
            _ => Err("it names more than one host".to_owned()),
        }
    }

    /// Refuses a user without a password, and a password without a user.
    pub(crate) fn check_login(&self) -> Result<(), String> {
        match &self.login {
            Some((user, password)) if user.is_empty() || password.is_none() => {
                Err("a user needs a password, and a password a user".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// User and password, if both are there.
    pub(crate) fn whole_login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().and_then(|(user, password)| Some((user.as_str(), password.as_deref()?)))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        match self.parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.parameters.push((name, value)),
        }
    }

    /// The URL with its password and without its parameters, for a driver that reads URLs itself.
    pub(crate) fn with_password(&self) -> String {
        let login = self.login.as_ref().map(|(user, password)| match password {
            Some(password) => format!("{}:{}@", encoded(user), encoded(password)),
            None => format!("{}@", encoded(user)),
        });
        self.place(&login.unwrap_or_default())
    }

    fn place(&self, login: &str) -> String {
        format!("{}://{login}{}/{}", self.scheme, self.hosts.join(","), self.path)
    }
}

/// Without the password.
impl fmt::Display for UrlParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.login.as_ref().map(|(user, _)| format!("{}@", encoded(user)));
        f.write_str(&self.place(&login.unwrap_or_default()))?;
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            write!(f, "{}{name}={}", if at == 0 { '?' } else { '&' }, encoded(value))?;
        }
        Ok(())
    }
}

/// Without the password.
impl fmt::Debug for UrlParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

fn decoded(text: &str) -> Result<String, String> {
    percent::decoded(text).ok_or_else(|| "a % is not followed by two hex digits of UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{FeedUrl, KeysUrl, LogUrl, ReadUrl, SearchUrl};

    /// What is said of a text, as a URL of each port: how the URL is shown, or why it is none.
    fn said_of(text: &str) -> [String; 5] {
        fn said<T: std::str::FromStr<Err: ToString> + ToString + std::fmt::Debug>(text: &str) -> String {
            text.parse::<T>().map_or_else(|e| e.to_string(), |url| format!("{url:?} {}", url.to_string()))
        }
        [
            said::<LogUrl>(text),
            said::<FeedUrl>(text),
            said::<ReadUrl>(text),
            said::<SearchUrl>(text),
            said::<KeysUrl>(text),
        ]
    }

    // proves: SEC-7
    #[test]
    fn no_password_is_ever_shown() {
        for scheme in ["cassandra", "scylla", "kafka", "postgres", "postgresql", "http", "https"] {
            for rest in [
                // Good, where the backend takes a login at all.
                "u:sesame@h:1/t",
                "u:%40sesame@h:1/t?replication=1",
                // Characters that should have been encoded.
                "u:sesame@sesame@h:1/t",
                "u:sesame/sesame@h:1/t",
                "u:1/sesame@h:1/t",
                "u:sesame?sesame@h:1/t",
                "u:sesame?sesame=sesame@h:1/t",
                "u:sesame#sesame@h:1/t",
                "u:sesame:sesame,sesame@h:1/t",
                "u:%sesame@h:1/t",
                "u:%FFsesame@h:1/t",
                // The host was forgotten.
                "u:sesame",
                "u:sesame/t",
                "u:sesame,h/t",
                "h,u:sesame/t",
                // Wrong elsewhere.
                ":sesame@h:1/t",
                "u:sesame@",
                "u:sesame@/t",
                "u:sesame@h:port/t",
                "u:sesame@h:1,,/t",
                "u:sesame@h:1",
                "u:sesame@h:1/Upper/-",
                "u:sesame@h:1/t?color=red&schema=pg_x",
                "u:sesame@h:1/t?replicas=x&connections=0",
            ] {
                for said in said_of(&format!("{scheme}://{rest}")) {
                    assert!(!said.contains("sesame"), "{scheme}://{rest}: {said}");
                }
            }
        }
        for text in
            ["u:sesame@h/t", ":sesame@h/t", "://u:sesame@h/t", "mysql://u:sesame@h/t", "http:u:sesame@h/t"]
        {
            for said in said_of(text) {
                assert!(!said.contains("sesame"), "{text}: {said}");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_any_of_them_is_named() {
        for (rest, reason) in [
            ("u:%zz@h:1/t", "two hex digits"),
            ("u:p/w@h:1/t", "percent-encoded"),
            ("u:p@h:1/t#x", "percent-encoded"),
            ("u:p@h:0/t", "`h:0` is not host or host:port"),
            ("u:p@h:x/t", "`h:x` is not host or host:port"),
            ("u:p@[::1/t", "`[::1` is not host or host:port"),
            ("u:p@a b/t", "`a b` is not host or host:port"),
            ("u:p@/t", "`` is not host or host:port"),
            ("u:p@h:1/t?color=red", "it has no parameter `color`; there is "),
        ] {
            for text in ["cassandra", "kafka", "postgres", "https"].map(|scheme| format!("{scheme}://{rest}"))
            {
                let said = said_of(&text);
                assert!(said.iter().any(|said| said.contains(reason)), "{text}: {said:?}");
            }
        }
    }
}
