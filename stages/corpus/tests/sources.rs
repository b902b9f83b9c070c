//! Every format reads what others write, and bad input of every kind is an error or counted.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use athanor_corpus::{
    SourceSection,
    sources::{self, Body},
};
use proptest::prelude::*;

type Read = Vec<Result<(String, String), String>>;

/// What a source gives: name and text, or "skip: reason" or "error: …".
fn read_with(path: &Path, change: impl FnOnce(&mut SourceSection)) -> Read {
    let mut source =
        SourceSection { name: "s".into(), path: path.into(), ..SourceSection::default() };
    change(&mut source);
    let (items, _) = match sources::open(&source.all_paths(), &source) {
        Ok(opened) => opened,
        Err(e) => return vec![Err(format!("error: {e}"))],
    };
    let text = |item: sources::Item| {
        let text = match item.body {
            Body::Text(text) => Ok(text),
            Body::Skip(reason) => Err(reason),
            Body::Later(make) => make(),
        };
        text.map(|t| (item.id, t)).map_err(|r| format!("skip: {r}"))
    };
    items.map(|item| item.map_err(|e| format!("error: {e}")).and_then(text)).collect()
}

fn read(path: &Path) -> Read {
    read_with(path, |_| {})
}

fn lenient(path: &Path) -> Read {
    read_with(path, |s| s.on_error = "skip".into())
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn texts(read: &Read) -> Vec<&str> {
    read.iter().map(|r| r.as_ref().map_or_else(|e| e.as_str(), |(_, t)| t.as_str())).collect()
}

#[test]
fn every_packing_of_lines() {
    let files = Files::new();
    let half = |n: i32| format!("{{\"text\": \"line {n} 春\"}}\n").repeat(3).into_bytes();
    for (ending, pack) in [
        ("", (|b: &[u8]| b.to_vec()) as fn(&[u8]) -> Vec<u8>),
        (".gz", gzip),
        (".bz2", bzip2),
        (".zst", zstd),
    ] {
        // Two members, streams or frames, as those write who append.
        let path =
            files.write(&format!("a.jsonl{ending}"), [pack(&half(1)), pack(&half(2))].concat());
        let got = read(&path);
        assert_eq!(got.len(), 6, "{ending}");
        assert_eq!(got[5].as_ref().unwrap().1, "line 2 春", "{ending}");
        if ending.is_empty() {
            continue;
        }
        // Torn: an error with its place, or counted if the user says so.
        let whole = pack(&half(1).repeat(400));
        let torn = files.write(&format!("torn.jsonl{ending}"), &whole[..whole.len() - 5]);
        let last = lenient(&torn).pop().unwrap().unwrap_err();
        assert!(last.contains("torn") && last.contains("torn.jsonl"), "{last}");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0xFF;
        let damaged = files.write(&format!("damaged.jsonl{ending}"), flipped);
        assert!(read(&damaged).iter().any(Result::is_err), "{ending}");
    }
}

#[test]
fn globs_folders_and_several_paths() {
    let files = Files::new();
    for name in ["a/1.txt", "a/2.txt", "b/3.txt", "b/4.md"] {
        files.write(name, name);
    }
    std::fs::create_dir(files.0.path().join("empty")).unwrap();
    let root = files.0.path();
    assert_eq!(texts(&read(&root.join("*/*.txt"))), ["a/1.txt\n", "a/2.txt\n", "b/3.txt\n"]);
    assert_eq!(texts(&read(&root.join("**/[34].*"))), ["b/3.txt\n", "b/4.md\n"]);
    assert_eq!(read(root).len(), 4, "an empty folder among others is none");
    let two = read_with(&root.join("b/4.md"), |s| s.paths = vec![root.join("a")]);
    assert_eq!(texts(&two), ["b/4.md\n", "a/1.txt\n", "a/2.txt\n"]);
    assert!(read(&root.join("*.none"))[0].as_ref().unwrap_err().contains("no file matches"));
}

#[test]
fn bad_lines_are_told_or_counted() {
    let files = Files::new();
    let long = format!("{{\"text\": \"{}\"}}", "a".repeat(65 << 20));
    let lines = ["{\"text\": \"one\"}", "{\"text\": ", "[]", "{\"body\": 1}", &long];
    let mut bytes = lines.join("\n").into_bytes();
    bytes.extend(b"\n{\"text\": \"\xFF\"}\n{\"text\": \"two\"}\n");
    let path = files.write("a.jsonl", &bytes);
    let all = lenient(&path);
    let want = [
        "one",
        "skip: bad line",
        "skip: bad line",
        "skip: no such text in the record",
        "skip: longer than max_record_bytes",
        "skip: bad line",
        "two",
    ];
    assert_eq!(texts(&all), want);
    assert!(texts(&read(&path))[1].contains("a.jsonl:2: bad JSON"));
    let path = files.write("a.csv", "id,text\n1,\"a \"\"b\"\"\nc\"\n2\n3,\u{6625}\n");
    assert_eq!(texts(&lenient(&path)), ["a \"b\"\nc", "skip: another number of fields", "春"]);
    assert!(texts(&read(&path))[1].contains("a row of 1 fields under a header of 2"));
    let path = files.write("a.tsv.gz", gzip(b"text\turl\nx, y\thttp://z\n"));
    assert_eq!(texts(&read(&path)), ["x, y"]);
}

const PAGE: &str = "<html><head><title>The kiln — My site</title><style>p{}</style></head><body>\
<nav><a href=/>Home</a> <a href=/b>Blog</a></nav><div id=content><h1>The kiln</h1>\
<p>The potter built a <b>kiln</b> of brick, and fed it with oak for two days, until the glaze had run.</p>\
<p>Then he waited, as one must; a kiln that is opened early breaks what it holds, however well it was made.</p>\
<ul><li>wood</li><li>clay<ol><li>red</li><li>white</li></ol></li></ul><pre>a  b\n  c</pre>\
<table><tr><th>cone</th><th>heat</th></tr><tr><td>10</td><td>1,300</td></tr></table>\
<p>What came out was worth the time, and he sold all of it in a week, but for one bowl that he kept.</p></div>\
<footer>Copyright 2020. All rights reserved. Cookie policy.</footer><script>track()</script></body></html>";

#[test]
fn pages_keep_their_text_and_lose_the_rest() {
    let files = Files::new();
    let text = read(&files.write("a.html", PAGE)).remove(0).unwrap().1;
    for kept in [
        "kiln of brick",
        "- wood\n- clay\n  1. red\n  2. white",
        "a  b\n  c",
        "cone | heat\n10 | 1,300",
        "one bowl",
    ] {
        assert!(text.contains(kept), "{kept:?} in {text}");
    }
    for gone in ["Home", "Cookie", "track", "p{}"] {
        assert!(!text.contains(gone), "{gone:?} in {text}");
    }
    // Chinese: a line break in the source is no space, and full stops are those of Chinese.
    let body =
        "春天来了，山上的雪慢慢地化了，\n溪水从石头中间流下来，流过村子，流进田里。".repeat(4);
    let page = format!(
        "<html><head><meta charset=gbk><title>春天</title></head><body><div><a href=/>首页</a> \
         <a href=/x>联系我们</a></div><div class=article><h1>春天</h1><p>{body}</p><p>{body}</p></div></body></html>"
    );
    let bytes = encoding_rs::GBK.encode(&page).0.into_owned();
    let text = read(&files.write("zh.html", bytes)).remove(0).unwrap().1;
    assert!(text.contains("化了，溪水") && !text.contains("联系我们"), "{text}");
    let deep = files.write("deep.html", "<div>".repeat(200_000));
    assert_eq!(texts(&read(&deep)), ["skip: nested too deep"]);
}

fn record(kind: &str, uri: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {uri}\r\nWARC-Record-ID: <urn:uuid:{uri}>\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body, b"\r\n\r\n"].concat()
}

#[test]
fn warc_and_wet() {
    let files = Files::new();
    let http = |head: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes(), body].concat()
    };
    let html = "Content-Type: text/html; charset=utf-8";
    let chunked =
        format!("5\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n", &PAGE[..5], PAGE.len() - 5, &PAGE[5..]);
    let records = [
        record("warcinfo", "", b"software: x"),
        record("request", "a", b"GET /"),
        record("response", "a", &http(html, PAGE.as_bytes())),
        record(
            "response",
            "b",
            &http(&format!("{html}\r\nTransfer-Encoding: chunked"), chunked.as_bytes()),
        ),
        record(
            "response",
            "c",
            &http(&format!("{html}\r\nContent-Encoding: gzip"), &gzip(PAGE.as_bytes())),
        ),
        record("response", "d", &http("Content-Type: image/png", b"\x89PNG")),
        record("response", "e", b"HTTP/1.1 404 Not Found\r\n\r\nno"),
        record("conversion", "f", "网页的文字".as_bytes()),
    ];
    let members: Vec<u8> = records.iter().flat_map(|r| gzip(r)).collect();
    let frames: Vec<u8> = records.iter().flat_map(|r| zstd(r)).collect();
    for (name, bytes) in
        [("a.warc", records.concat()), ("a.warc.gz", members.clone()), ("a.warc.zst", frames)]
    {
        let path = files.write(name, bytes);
        let got = read(&path);
        let got = texts(&got);
        assert_eq!(got[..2], ["skip: record: warcinfo", "skip: record: request"], "{name}");
        assert!(got[2].contains("kiln of brick") && got[3] == got[2] && got[4] == got[2], "{name}");
        assert_eq!(
            got[5..],
            ["skip: no page of text", "skip: HTTP status is not 2xx", "网页的文字"]
        );
    }
    let torn = files.write("torn.warc.gz", &members[..members.len() - 40]);
    assert!(texts(&read(&torn)).pop().unwrap().starts_with("error: "));
    let torn = files.write("torn.warc", &records.concat()[..1500]);
    assert!(texts(&read(&torn)).pop().unwrap().contains("torn: "));
    let none = files.write("none.warc", "GET / HTTP/1.1\r\n");
    assert!(texts(&read(&none))[0].contains("expected WARC/1.x"), "{:?}", texts(&read(&none)));
}

#[test]
fn mediawiki_pages_and_damaged_ones() {
    let files = Files::new();
    let page = |id: u32, ns: u32, body: &str| {
        format!(
            "  <page>\n    <title>Page {id}</title>\n    <ns>{ns}</ns>\n    <id>{id}</id>\n{body}  </page>\n"
        )
    };
    let text = |t: &str| {
        format!(
            "<revision><id>9</id><model>wikitext</model><text xml:space=\"preserve\">{t}</text></revision>\n"
        )
    };
    let wiki = "{{Infobox|a=[[b]]\n|c={{d}}}}\n'''Iron''' ({{IPA-en|x}}; Fe) is a [[metal]]&lt;ref name=\"a\"&gt;x&lt;/ref&gt; of \
        [[star|stars]]s, {{convert|5|km}} deep&lt;!-- no --&gt;.\n[[File:a.jpg|thumb|A [[b]] c]]\n\n== Use ==\n* steel\n** wire\n\
        # one\n# two\n{| class=x\n| a\n|}\n=== Empty ===\n== References ==\n&lt;references/&gt;\n[[Category:Metals]]\n[[de:Eisen]]";
    let xml = format!(
        "<mediawiki>\n<siteinfo><base>x</base></siteinfo>\n{}{}{}{}{}</mediawiki>\n",
        page(1, 0, &text(wiki)),
        page(2, 1, &text("talk")),
        page(3, 0, "<redirect title=\"x\" />\n"),
        page(4, 0, "<revision><text>bad</revision>\n"),
        page(5, 0, &text("Last &amp;amp; least."))
    );
    let (front, back) = xml.split_at(xml.find("<page>").unwrap() - 2);
    let path = files.write("w.xml.bz2", [bzip2(front.as_bytes()), bzip2(back.as_bytes())].concat());
    let got = lenient(&path);
    assert_eq!(
        texts(&got),
        [
            "# Page 1\n\nIron ([x]; Fe) is a metal of starss, 5 km deep.\n\n## Use\n\n- steel\n  - wire\n1. one\n2. two",
            "skip: outside the main namespace",
            "skip: redirect",
            "skip: bad XML page",
            "# Page 5\n\nLast & least."
        ]
    );
    assert_eq!(got[0].as_ref().unwrap().0, "1");
    assert!(texts(&read(&path)).iter().any(|t| t.contains("w.xml.bz2:") && t.contains("bad XML")));
    let torn = files.write("torn.xml", &xml[..xml.len() - 60]);
    assert!(texts(&lenient(&torn)).pop().unwrap().contains("ends within a page"));
}

#[test]
fn stack_exchange_threads_in_score_order() {
    let files = Files::new();
    let row = |id: u32, rest: &str| format!("  <row Id=\"{id}\" {rest} />\n");
    let body = |t: &str| format!("Body=\"&lt;p&gt;{t}&lt;/p&gt;\"");
    let xml = [
        "<?xml version=\"1.0\"?>\n<posts>\n".to_string(),
        row(1, &format!("PostTypeId=\"1\" AcceptedAnswerId=\"4\" Score=\"3\" Title=\"Why &amp;amp; how?\" {}", body("Ask."))),
        row(2, &format!("PostTypeId=\"2\" ParentId=\"1\" Score=\"-1\" {}", body("Bad."))),
        row(3, &format!("PostTypeId=\"2\" ParentId=\"1\" Score=\"7\" {}", body("Good."))),
        row(4, &format!("PostTypeId=\"2\" ParentId=\"1\" Score=\"7\" {}", body("Accepted &amp;lt;b&amp;gt;."))),
        row(5, &format!("PostTypeId=\"5\" {}", body("wiki"))),
        row(6, &format!("PostTypeId=\"2\" ParentId=\"99\" Score=\"1\" {}", body("Orphan."))),
        "  <row Id=\"7\" PostTypeId=\"1\" Body=\"torn\n</posts>\n".to_string(),
    ]
    .concat();
    let path = files.write("Posts.xml", xml);
    let got = lenient(&path);
    let thread = "# Why &amp; how?\n\nAsk.\n\n## Answer (7 points)\n\nAccepted <b>.\n\n## Answer (7 points)\n\nGood.\n\n\
        ## Answer (-1 points)\n\nBad.";
    let want = [
        "skip: neither question nor answer",
        "skip: bad XML row",
        thread,
        "skip: answers without their question",
    ];
    assert_eq!(texts(&got), want);
}

fn epub(chapters: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add(
        "META-INF/container.xml",
        b"<container><rootfiles><rootfile full-path=\"O/a.opf\"/></rootfiles></container>",
    );
    let items: String = chapters
        .iter()
        .map(|(n, _)| {
            format!("<item id=\"{n}\" href=\"{n}%20x.html\" media-type=\"application/xhtml+xml\"/>")
        })
        .collect();
    let spine: String = chapters.iter().map(|(n, _)| format!("<itemref idref=\"{n}\"/>")).collect();
    add(
        "O/a.opf",
        format!("<package><metadata><dc:title>Book</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>").as_bytes(),
    );
    for (name, bytes) in chapters {
        add(&format!("O/{name} x.html"), bytes);
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn books_and_bombs() {
    let files = Files::new();
    let book =
        epub(&[("b", b"<h1>Two</h1><p>Last.</p>".to_vec()), ("a", b"<p>First.</p>".to_vec())]);
    let path = files.write("a.epub", &book);
    assert_eq!(texts(&read(&path)), ["# Book\n\n# Two\n\nLast.\n\nFirst."], "in the spine's order");
    let bomb = epub(&[("a", vec![b' '; 40 << 20])]);
    assert!(bomb.len() < 1 << 20);
    let bomb = files.write("bomb.epub", bomb);
    assert_eq!(texts(&read(&bomb)), ["skip: unpacks to more than a book's size (zip bomb)"]);
    let torn = files.write("torn.epub", &book[..book.len() / 2]);
    assert_eq!(texts(&read(&torn)), ["skip: damaged zip file"]);
}

/// Small files that would take all memory, or time that grows with the square of their size: with it,
/// each would take minutes.
#[test]
fn files_made_to_fill_memory_or_time() {
    let files = Files::new();
    let skipped = |name: &str, bytes: String| {
        let read = lenient(&files.write(name, bytes));
        texts(&read).into_iter().map(String::from).collect::<Vec<_>>().join("; ")
    };
    // Formatting that a paragraph leaves open is opened again in the next one.
    let bold: String = (0..250).map(|n| format!("<b a={n}>")).collect();
    let page = format!("<p>{bold}x</p>{}", "<p>x</p>".repeat(20_000));
    assert_eq!(skipped("a.html", page), "skip: too many elements");
    // Ends that end nothing, so that counting them tells nothing of the depth.
    assert_eq!(skipped("b.html", "<b></x>".repeat(200_000)), "skip: nested too deep");
    let table = "<b><table><tr><td></b>".repeat(100_000);
    assert_eq!(skipped("c.html", table), "skip: nested too deep");

    let many = |text: &str| text.repeat((2 << 20) / text.len());
    for text in [
        "<ref>",
        "<code>",
        "-{",
        "[//x ",
        "__A",
        "__A__",
        "{{nowrap|",
        "[[",
        "{{{",
        "''",
        "#*",
        "|-",
    ] {
        let n = sources::wikitext::to_text(&many(text)).len();
        assert!(n <= 4 << 20, "{text}: {n}");
    }
    let nested = |open: &str, close: &str| {
        let half = 60_000;
        format!("{}{}{}", open.repeat(half), "word ".repeat(100_000), close.repeat(half))
    };
    for (open, close) in [("{{nowrap|", "}}"), ("[[a|", "]]"), ("-{", "}-"), ("{|\n", "\n|}")] {
        sources::wikitext::to_text(&nested(open, close));
    }
    let page = format!("<page>\n{}\n</page>\n", "<a>".repeat(1_000_000));
    assert_eq!(skipped("a.xml", page), "skip: bad XML page");
    let text = "x".repeat(9 << 20);
    let page = format!("<page>\n<revision><text>{text}</text></revision>\n</page>\n");
    assert_eq!(skipped("b.xml", page), "skip: page too large");

    let row =
        |n: usize| format!("<row Id=\"1\" PostTypeId=\"1\" Body=\"x\" {}/>\n", " a=\"\"".repeat(n));
    assert_eq!(skipped("Posts.xml", row(500_000)), "x");
    let scores = format!(
        "{}<row Id=\"2\" PostTypeId=\"2\" ParentId=\"1\" Score=\"{}\" Body=\"y\" />\n",
        row(0),
        i64::MIN
    );
    assert!(skipped("Posts.xml", scores).ends_with('y'));
    assert!(skipped("a.csv", ",".repeat(20_000)).contains("more than 10000 fields"));
    let header = "HTTP/1.1 200 OK\r\n".to_string() + &"a:\r\n".repeat(5000) + "\r\nx";
    let crawl = String::from_utf8(record("response", "a", header.as_bytes())).unwrap();
    assert_eq!(skipped("a.warc", crawl), "skip: no HTTP response");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]
    #[test]
    fn no_bytes_make_a_parser_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let files = Files::new();
        let book = epub(&[("a", b"<p>x</p>".to_vec())]);
        let warc = record("response", "a", format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{PAGE}").as_bytes());
        let wiki = b"<page>\n<title>a</title><revision><text>{{a|[[b]]</text></revision>\n</page>\n".to_vec();
        for (name, whole) in [("x.epub", book), ("x.warc", warc.clone()), ("x.warc.gz", gzip(&warc)),
            ("x.warc.zst", zstd(&warc)), ("x.xml.bz2", bzip2(&wiki)), ("x.xml", wiki), ("Posts.xml", b"<row Id=\"1\" />\n".to_vec()),
            ("x.csv", b"text,b\n\"a\",c\n".to_vec()), ("x.jsonl", b"{\"text\": 1}\n".to_vec())] {
            let mut mutated = whole.clone();
            let place = at.index(mutated.len());
            mutated[place] ^= flip;
            lenient(&files.write(name, &mutated));
            mutated.truncate(place);
            lenient(&files.write(name, &mutated));
            lenient(&files.write(name, &bytes));
        }
    }

    #[test]
    fn no_markup_makes_wikitext_panic(text in "(\\[\\[|\\]\\]|\\{\\{|\\}\\}|\\{\\||\\|\\}|\\||=|==|'''|<ref>|</ref>|<nowiki>|<|>|/|-\\{|\\}-|\n|\\*|#|;|:|a b|春|é|&amp;|\\(|\\)|,|__|http://x ){0,60}") {
        sources::wikitext::to_text(&text);
        let _ = sources::html::main_text(&text);
    }
}
