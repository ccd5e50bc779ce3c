//! YAML as a tree that knows its places in the text.
//!
//! The reader above it decides by the key what a value may be, and reports every problem of a file
//! with its place. A typed deserializer cannot: it stops at the first, and has turned `0.07` into a
//! binary number by then. So this builds on the events of the parser alone.

use std::ops::Range;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span};

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Its bytes in the text; of a list or a mapping only where it begins.
    pub(super) place: Range<usize>,
    pub(super) tree: Tree,
}

impl Node {
    /// Nothing, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.tree, Tree::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }
}

#[derive(Debug)]
pub(super) enum Tree {
    Scalar {
        text: String,
        /// Written without quotes, on one line.
        plain: bool,
    },
    List(Vec<Node>),
    /// The keys are scalars, in the order of the text; one may occur repeatedly.
    Mapping(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) place: Range<usize>,
    pub(super) text: String,
}

/// Why a text is not a configuration in YAML.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) place: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

/// Lists and mappings within each other, at most.
const DEPTH_MAX: usize = 32;

/// A list or mapping whose end has not come yet.
enum Open {
    List(Range<usize>, Vec<Node>),
    Mapping(Range<usize>, Vec<(Key, Node)>, Option<Key>),
}

/// Reads a text with one document, or none.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Fault> {
    let options = granit_parser::options! {
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
    };
    let mut root = None;
    let mut documents = 0;
    let mut open: Vec<Open> = Vec::new();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or_default();
            let message = format!("this is not YAML: {}", error.info());
            Fault { place: at..at, message, hint: hint(error.kind()) }
        })?;
        refuse(&event, &span)?;
        let place = place_of(&span);
        let done = match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(Fault {
                        place,
                        message: "a second document begins here".to_owned(),
                        hint: Some("a configuration is one document: remove this line"),
                    });
                }
                continue;
            }
            Event::Scalar(value, style, ..) => {
                let plain = style == ScalarStyle::Plain && !value.contains('\n');
                Node { place, tree: Tree::Scalar { text: value.into_owned(), plain } }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() == DEPTH_MAX {
                    let message = "is nested too deeply".to_owned();
                    return Err(Fault { place, message, hint: None });
                }
                let place = place.start..place.start;
                open.push(match event {
                    Event::SequenceStart(..) => Open::List(place, Vec::new()),
                    _ => Open::Mapping(place, Vec::new(), None),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(place, items)) => Node { place, tree: Tree::List(items) },
                Some(Open::Mapping(place, entries, _)) => {
                    Node { place, tree: Tree::Mapping(entries) }
                }
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(done),
            Some(Open::List(_, items)) => items.push(done),
            Some(Open::Mapping(_, entries, key)) => match key.take() {
                Some(key) => {
                    // A value that is not there stands nowhere: its key is what can be pointed at.
                    let place = if done.place.is_empty() && done.is_null() {
                        key.place.clone()
                    } else {
                        done.place
                    };
                    entries.push((key, Node { place, tree: done.tree }));
                }
                None => *key = Some(key_of(done)?),
            },
        }
    }
    Ok(root)
}

fn key_of(node: Node) -> Result<Key, Fault> {
    match node.tree {
        Tree::Scalar { text, .. } => Ok(Key { place: node.place, text }),
        _ => Err(Fault {
            place: node.place,
            message: "a key must be a word, not a list or a mapping".to_owned(),
            hint: None,
        }),
    }
}

/// What YAML has and a configuration does not need.
fn refuse(event: &Event<'_>, span: &Span) -> Result<(), Fault> {
    let (message, hint, place) = match event {
        Event::Alias(_) | Event::UnresolvedAlias(_) => (
            "references (`*name`) are not used here",
            "write the value out, or quote a text that begins with `*`",
            place_of(span),
        ),
        Event::Anchor(..) => (
            "anchors (`&name`) are not used here",
            "leave it out, or quote a text that begins with `&`",
            place_of(span),
        ),
        _ if event.tag().is_some() => (
            "tags (`!name`) are not used here",
            "leave it out, or quote a text that begins with `!`",
            place_of(&span.tag_span().unwrap_or(*span)),
        ),
        _ => return Ok(()),
    };
    Err(Fault { place, message: message.to_owned(), hint: Some(hint) })
}

/// What to do about the mistakes that are made most.
fn hint(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::TabInIndentation
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabNotAllowed
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => Some("indent with spaces"),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            Some("a quote further up is not closed")
        }
        ErrorKind::MappingValueNotAllowed => {
            Some("put a text with a colon in quotes, and each key on a line of its own")
        }
        ErrorKind::ExpectedBlockMappingKey => {
            Some("indent the keys of a section by the same number of spaces")
        }
        _ => None,
    }
}

fn place_of(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or_default()
}
