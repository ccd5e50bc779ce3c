//! Where SQL statements end, byte by byte, so that a script of any size can be read as a stream.
//!
//! The same rules as SQLite's own `sqlite3_complete`: a semicolon ends a statement, but in a
//! `CREATE TRIGGER` only one that follows an `END` that itself follows a semicolon. So a `CASE … END`
//! in the body ends nothing.

/// Where a statement is, in bytes from the beginning of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
    pub line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lex {
    Between,
    Word,
    /// Inside quotes that this byte closes. A doubled quote closes and opens again, which comes to
    /// the same.
    Quoted(u8),
    Dash,
    Slash,
    LineComment,
    BlockComment,
    /// After a `*` in a block comment.
    BlockCommentStar,
}

/// The states of `sqlite3_complete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Normal,
    Explain,
    Create,
    Trigger,
    TriggerSemicolon,
    TriggerEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Semicolon,
    Other,
    Explain,
    Create,
    Temp,
    Trigger,
    End,
}

/// Longer words are no keywords that matter here.
const KEYWORD_BYTES_MAX: usize = 9;

#[derive(Clone, Debug)]
pub(crate) struct Splitter {
    lex: Lex,
    state: State,
    word: Vec<u8>,
    /// Bytes fed so far.
    at: usize,
    line: usize,
    /// Where the current token begins.
    token_start: (usize, usize),
    /// Where the current statement begins.
    first: Option<(usize, usize)>,
    /// Where its last token ends.
    end: usize,
}

impl Splitter {
    pub(crate) fn new() -> Self {
        Self {
            lex: Lex::Between,
            state: State::Start,
            word: Vec::new(),
            at: 0,
            line: 1,
            token_start: (0, 1),
            first: None,
            end: 0,
        }
    }

    /// Takes the next byte; the statement, if this byte is the semicolon that ends one.
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Span> {
        let ended = self.lex(byte);
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        ended
    }

    /// What is left when the text ends.
    pub(crate) fn finish(&mut self) -> Option<Span> {
        match self.lex {
            Lex::Word => self.end_word(),
            Lex::Dash | Lex::Slash | Lex::Quoted(_) => self.token(Token::Other),
            _ => {}
        }
        self.lex = Lex::Between;
        self.state = State::Start;
        let (start, line) = self.first.take()?;
        Some(Span { start, end: self.end, line })
    }

    fn lex(&mut self, byte: u8) -> Option<Span> {
        match self.lex {
            Lex::Quoted(close) => {
                if byte == close {
                    self.lex = Lex::Between;
                    self.end_token(self.at + 1, Token::Other);
                }
                return None;
            }
            Lex::LineComment => {
                if byte == b'\n' {
                    self.lex = Lex::Between;
                }
                return None;
            }
            Lex::BlockComment => {
                if byte == b'*' {
                    self.lex = Lex::BlockCommentStar;
                }
                return None;
            }
            Lex::BlockCommentStar => {
                self.lex = match byte {
                    b'/' => Lex::Between,
                    b'*' => Lex::BlockCommentStar,
                    _ => Lex::BlockComment,
                };
                return None;
            }
            Lex::Dash if byte == b'-' => {
                self.lex = Lex::LineComment;
                return None;
            }
            Lex::Slash if byte == b'*' => {
                self.lex = Lex::BlockComment;
                return None;
            }
            Lex::Dash | Lex::Slash => self.token(Token::Other),
            Lex::Word if is_word_byte(byte) => {
                if self.word.len() <= KEYWORD_BYTES_MAX {
                    self.word.push(byte);
                }
                return None;
            }
            Lex::Word => self.end_word(),
            Lex::Between => {}
        }
        self.lex = Lex::Between;
        self.token_start = (self.at, self.line);
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0c => {}
            b'-' => self.lex = Lex::Dash,
            b'/' => self.lex = Lex::Slash,
            b'\'' | b'"' | b'`' => self.lex = Lex::Quoted(byte),
            b'[' => self.lex = Lex::Quoted(b']'),
            b';' => return self.semicolon(),
            byte if is_word_byte(byte) => {
                self.lex = Lex::Word;
                self.word.clear();
                self.word.push(byte);
            }
            _ => self.end_token(self.at + 1, Token::Other),
        }
        None
    }

    fn end_word(&mut self) {
        let is = |keyword: &str| self.word.eq_ignore_ascii_case(keyword.as_bytes());
        let token = if is("CREATE") {
            Token::Create
        } else if is("TRIGGER") {
            Token::Trigger
        } else if is("TEMP") || is("TEMPORARY") {
            Token::Temp
        } else if is("END") {
            Token::End
        } else if is("EXPLAIN") {
            Token::Explain
        } else {
            Token::Other
        };
        self.token(token);
    }

    /// A token ends before the current byte.
    fn token(&mut self, token: Token) {
        self.end_token(self.at, token);
    }

    fn end_token(&mut self, end: usize, token: Token) {
        self.first.get_or_insert(self.token_start);
        self.end = end;
        self.state = next_state(self.state, token);
    }

    fn semicolon(&mut self) -> Option<Span> {
        self.state = next_state(self.state, Token::Semicolon);
        if self.state == State::Start {
            let (start, line) = self.first.take()?;
            return Some(Span { start, end: self.end, line });
        }
        self.end = self.at + 1;
        None
    }
}

fn next_state(state: State, token: Token) -> State {
    match (state, token) {
        (State::Trigger | State::TriggerSemicolon, Token::Semicolon) => State::TriggerSemicolon,
        (_, Token::Semicolon) => State::Start,
        (State::Start, Token::Explain) | (State::Explain, Token::Other) => State::Explain,
        (State::Start | State::Explain, Token::Create) | (State::Create, Token::Temp) => {
            State::Create
        }
        (State::TriggerSemicolon, Token::End) => State::TriggerEnd,
        (State::Create, Token::Trigger)
        | (State::Trigger | State::TriggerSemicolon | State::TriggerEnd, _) => State::Trigger,
        _ => State::Normal,
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}
