//! HTTP: the words of its request line, which RTSP and SIP share, and the response that refuses a request.

/// Methods that are known: of HTTP (RFC 9110), PATCH and WebDAV, of RTSP (RFC 2326) and of SIP (RFC 3261).
pub(super) const METHODS: &str = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI PROPFIND PROPPATCH MKCOL COPY MOVE \
    LOCK UNLOCK REPORT SEARCH M-SEARCH DESCRIBE SETUP PLAY PAUSE TEARDOWN ANNOUNCE RECORD REDIRECT \
    GET_PARAMETER SET_PARAMETER INVITE REGISTER ACK BYE CANCEL SUBSCRIBE NOTIFY MESSAGE PUBLISH \
    INFO REFER UPDATE PRACK";

/// Bytes of the longest of these methods.
pub const LONGEST_METHOD: usize = 13;

/// Whether the first word is a known method and ends within `bytes`.
pub fn begins_with_method(bytes: &[u8]) -> bool {
    let length = bytes.iter().position(|&byte| byte == b' ');
    length.is_some_and(|length| METHODS.split(' ').any(|method| method.as_bytes() == &bytes[..length]))
}

/// Whether a word has the form of a method. All registered methods are upper-case.
pub(super) fn is_method(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
}

/// Whether a word has the form of a target: `/path`, `*`, `host:port` or `scheme:…`.
pub(super) fn is_target(word: &[u8]) -> bool {
    matches!(word, [b'/' | b'*', ..]) || word.iter().skip(1).any(|&byte| byte == b':')
}

/// The response that refuses a request, with `text` as the line of its body. Its end is the end of the connection.
pub fn bad_request(text: &str) -> Vec<u8> {
    let body = format!("* {text}\n");
    let length = body.len();
    format!(
        "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_begins_with_a_known_method_and_a_blank() {
        let longest = METHODS.split(' ').map(str::len).max();
        assert_eq!(longest, Some(LONGEST_METHOD));
        for (bytes, is_method) in [
            ("GET / HTTP/1.1", true),
            ("PUT ", true),
            ("SET_PARAMETER ", true),
            ("GET", false),
            ("GETS /", false),
            ("get /", false),
            (" GET /", false),
            ("", false),
        ] {
            assert_eq!(begins_with_method(bytes.as_bytes()), is_method, "{bytes}");
        }
    }

    #[test]
    fn the_length_of_the_response_is_that_of_its_body() {
        let response = String::from_utf8(bad_request("żółw")).expect("UTF-8");
        let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
        assert_eq!(body, "* żółw\n");
        assert!(head.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    }
}
