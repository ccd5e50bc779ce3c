//! Relative links in Markdown lead to files that exist.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use pulldown_cmark::{Event, Options, Parser, Tag};

use super::{Problem, Tree};

pub(super) fn check(tree: &Tree, problems: &mut Vec<Problem>) -> Result<()> {
    for file in tree.with_ending(".md") {
        for (line, link) in relative_links(&tree.read(file)?) {
            let found = target(file, &link).is_some_and(|path| tree.root.join(path).exists());
            if !found {
                let message = format!("the link `{link}` leads to no file of this repository");
                problems.push(Problem::new("links", format!("{file}:{line}"), message));
            }
        }
    }
    Ok(())
}

/// Links and pictures with their lines, counted from 1; in Markdown and in HTML within it. Those to
/// other sites and those within the same file are left out.
fn relative_links(markdown: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES | Options::ENABLE_TASKLISTS;
    for (event, range) in Parser::new_ext(markdown, options).into_offset_iter() {
        let line = 1 + markdown[..range.start].matches('\n').count();
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                links.push((line, dest_url.into_string()));
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                links.extend(html_links(&html).map(|link| (line, link.to_owned())));
            }
            _ => {}
        }
    }
    links
        .retain(|(_, link)| !link.starts_with('#') && !link.starts_with("//") && !has_scheme(link));
    links
}

/// The values of `href="…"` and `src="…"`.
fn html_links(html: &str) -> impl Iterator<Item = &str> {
    ["href=\"", "src=\""]
        .into_iter()
        .flat_map(|name| html.split(name).skip(1))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(link, _)| link)
}

/// Whether a link starts with `https:`, `mailto:` and the like.
fn has_scheme(link: &str) -> bool {
    link.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one))
    })
}

/// The path in the repository that a link in `file` means; `None` when it leads out of it. A link
/// that starts with `/` starts at the root of the repository.
fn target(file: &str, link: &str) -> Option<PathBuf> {
    let path = unescaped(link.split(['#', '?']).next().unwrap_or_default());
    let start = Path::new(file).parent().unwrap_or(Path::new(""));
    let start = if path.starts_with('/') { Path::new("") } else { start };
    let mut clean = PathBuf::new();
    for part in start.join(path.trim_start_matches('/')).components() {
        match part {
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Some(clean)
}

/// Resolves `%20` and its like; what is no valid escape stays as it is.
fn unescaped(link: &str) -> String {
    let bytes = link.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = link.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escape {
            Some(byte) if bytes[at] == b'%' => {
                plain.push(byte);
                at += 3;
            }
            _ => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::places;
    use super::*;

    fn links(markdown: &str) -> Vec<(usize, String)> {
        relative_links(markdown)
    }

    #[test]
    fn links_of_every_form_are_found_with_their_lines() {
        let markdown = "# A title\n\nsee [one](one.md \"title\")\nand ![two](two.png)\n\n\
            [three][3], <a href=\"four.md\">four</a>\n\n<img\n src=\"five.png\">\n\n[3]: <three 3.md>\n";
        let found: Vec<(usize, &str)> =
            vec![(3, "one.md"), (4, "two.png"), (6, "three 3.md"), (6, "four.md"), (8, "five.png")];
        let expected: Vec<_> =
            found.into_iter().map(|(line, link)| (line, link.to_owned())).collect();
        assert_eq!(links(markdown), expected);
    }

    #[test]
    fn links_to_elsewhere_and_text_that_looks_like_links_are_left_out() {
        for markdown in [
            "[a](https://example.org/missing.md)",
            "[a](mailto:someone@example.org)",
            "[a](//example.org)",
            "[a](#below)",
            "`[a](missing.md)`",
            "```\n[a](missing.md)\n```",
            "    [a](missing.md)",
        ] {
            assert_eq!(links(markdown), [], "{markdown}");
        }
    }

    #[test]
    fn a_link_starts_at_its_file_and_stays_in_the_repository() {
        for (file, link, expected) in [
            ("README.md", "docs/rules.md", Some("docs/rules.md")),
            ("docs/a.md", "rules.md#california", Some("docs/rules.md")),
            ("docs/a.md", "../README.md", Some("README.md")),
            ("docs/a.md", "/README.md", Some("README.md")),
            ("docs/a.md", "two%20words.md", Some("docs/two words.md")),
            ("docs/a.md", "100%.md", Some("docs/100%.md")),
            ("docs/a.md", "..", Some("")),
            ("docs/a.md", "../../elsewhere.md", None),
        ] {
            assert_eq!(target(file, link), expected.map(PathBuf::from), "{link} in {file}");
        }
    }

    #[test]
    fn a_link_to_a_missing_file_is_a_problem() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("README.md"), "[a](README.md)\n\n[b](missing.md)").unwrap();
        let tree = Tree::load(root.path()).unwrap();
        let mut problems = Vec::new();
        check(&tree, &mut problems).unwrap();
        assert_eq!(places(&problems), ["README.md:3"]);
    }
}
