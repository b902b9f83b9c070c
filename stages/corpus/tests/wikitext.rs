//! Wikitext: what reading whole pages against their source has shown (docs/log.md), one case each.

use athanor_corpus::sources::wikitext::to_text as text;

#[test]
fn numbers_and_sounds_keep_their_meaning() {
    assert_eq!(
        text("a few parts in 10<sup>7</sup>, 10<sup>−7</sup> N"),
        "a few parts in 10⁷, 10⁻⁷ N"
    );
    assert_eq!(text("H<sub>2</sub>O, x<sub>max</sub>"), "H₂O, xmax");
    assert_eq!(text("equal to {{val|6.2415093|e=18}} charges"), "equal to 6.2415093×10¹⁸ charges");
    assert_eq!(text("is {{val|30000|u=C}}"), "is 30000 C");
    assert_eq!(text("before {{vr|r}}, as in"), "before ⟨r⟩, as in");
    assert_eq!(text("(named {{IPAc-en|'|eɪ}}, plural)"), "(named /ˈeɪ/, plural)");
    assert_eq!(text("({{IPA-fr|alɛ̃ kɔn|lang}}; born 1947)"), "([alɛ̃ kɔn]; born 1947)");
    assert_eq!(text("no breaks{{Clarify|date=2011}}in the chain"), "no breaks in the chain");
}

#[test]
fn formulas_and_units() {
    assert_eq!(
        text(":{{chem|CH|3|COOH}} + {{chem|H|2|O}} {{eqm}} {{chem|CH|3|COO|−}} + {{chem|H|3|O|+}}"),
        "CH₃COOH + H₂O ⇌ CH₃COO⁻ + H₃O⁺"
    );
    assert_eq!(text("(formula {{chem|C|n|H|2n+2}})"), "(formula CnH2n+2)");
    assert_eq!(text("{{chem|SO|4|2-}}, {{chem|235|92|U}}"), "SO₄²⁻, ²³⁵₉₂U");
    assert_eq!(text("{{chem2|Na2SO4}}, {{chem2|SO4(2-)}}, {{chem2|NH4+}}"), "Na₂SO₄, SO₄²⁻, NH₄⁺");
    assert_eq!(text("{{chem2|2H2 + O2 -> 2H2O}}"), "2H₂ + O₂ → 2H₂O");
    assert_eq!(text("{{Carbon}}<sub>2</sub>{{Hydrogen}}<sub>6</sub>"), "C₂H₆");
    assert_eq!(text("a year (1{{sfrac|1|4}} days short)"), "a year (1 1/4 days short)");
    assert_eq!(text("1/({{frac|3|2}}n)"), "1/(3/2n)");
    assert_eq!(text("10{{sup|7}} of CO{{sub|2}}"), "10⁷ of CO₂");
    assert_eq!(text("A{{Music|flat}}<sub>[[Scientific pitch notation|4]]</sub>"), "A♭₄");
    assert_eq!(text("about 5.98{{e|24}}&nbsp;kg"), "about 5.98×10²⁴ kg");
    assert_eq!(text("{{convert|1|-|4|km2|sqmi}}, {{convert|19|C|F}}"), "1 - 4 km², 19 °C");
    assert_eq!(text("{{convert|6|ft|1|in|m}} tall"), "6 ft 1 in tall");
    assert_eq!(text("{{convert|2|to|10|in|mm|order=flip|-1}}"), "2 to 10 in");
    assert_eq!(text("({{formatnum: 3003}} m), {{US$|2 billion}}"), "(3003 m), US$2 billion");
}

#[test]
fn dates_and_places() {
    assert_eq!(text("{{as of|2015|6|30}} when"), "As of 30 June 2015 when");
    assert_eq!(text("exports, {{as of|2014|lc=y}}"), "exports, as of 2014");
    assert_eq!(text("{{As of|2001|5|df=US|since=y}}"), "Since May 2001");
    assert_eq!(
        text("(born; {{OldStyleDate|February 2|1905|January 20}}&nbsp;– 1982)"),
        "(born; February 2, 1905 [O.S. January 20] – 1982)"
    );
    assert_eq!(text("at {{Coord|13|19|N|169|9|W|type:event}}, in"), "at 13°19′N 169°9′W, in");
    assert_eq!(text("at {{Coord|57.18|-3.2}}"), "at 57.18, -3.2");
    assert_eq!(text("{{Coord|57|18|N|3|W|display=title}}Words"), "Words");
}

#[test]
fn words_that_templates_hold() {
    assert_eq!(
        text("(/x/; {{IPAc-en|UK|ə|ˈ|d|oʊ|b}}, {{IPAc-en|ˈ|æ|l|ə|,_|ə|l}})"),
        "(/x/; /əˈdoʊb/, /ˈælə, əl/)"
    );
    assert_eq!(
        text("{{Harvtxt|Boolos|Jeffrey|1974, 1999}} offer"),
        "Boolos & Jeffrey (1974, 1999) offer"
    );
    assert_eq!(
        text("It does three:\n{{ordered list|start=4\n| One, with\n| Another.\n}}\nIn short"),
        "It does three:\n\n4. One, with\n5. Another.\n\nIn short"
    );
    assert_eq!(text("{{unordered list|a b|[[c]]}}"), "- a b\n- c");
    assert_eq!(text("a {{ill|de|Gymnasium X|Gymnasium Y}}"), "a Gymnasium X");
    assert_eq!(text("a {{ill|Gymnasium X|de|Gymnasium Y}}"), "a Gymnasium X");
    assert_eq!(text("''Eagle''{{'s}} pads{{mdashb}}four"), "Eagle's pads—four");
    assert_eq!(text("of 'just knowing.{{' \"}} Rand"), "of 'just knowing.'\" Rand");
    assert_eq!(
        text("{{script/Arabic|ﷲ}} = U+FDF2, ({{rtl-lang|ar|الكيمياء}})"),
        "ﷲ = U+FDF2, (الكيمياء)"
    );
    assert_eq!(text("a {{RailGauge|1435 mm}} gauge"), "a 1435 mm gauge");
    assert_eq!(text("in {{bibleref|Mark|3:25|9}}"), "in Mark 3:25");
}

#[test]
fn emphasis_and_dots() {
    // Kept apart by a tag, a link or a template.
    assert_eq!(text("angle ''θ''<sub>''i''</sub> of"), "angle θi of");
    assert_eq!(text("''[[A|''b'']]''''c''"), "b'c");
    assert_eq!(text("[[A|''b'']]''c''"), "bc");
    assert_eq!(text("''a''{{lang|fr|''b''}}"), "ab");
    // MediaWiki's rules for what is left open.
    assert_eq!(text("in L'''Iliade'' of"), "in L'Iliade of");
    assert_eq!(text("the '''dog''''s ''dinner''"), "the dog's dinner");
    assert_eq!(text("'''''both''' and'' none"), "both and none");
    assert_eq!(text("\". . . we want\" and . . . so"), "\". . . we want\" and . . . so");
    assert_eq!(text("word {{x}}."), "word.");
    assert_eq!(text("<code>''x://y''</code>, <code>[1]</code>"), "x://y, [1]");
}

#[test]
fn lists_and_lines() {
    // Depth by all marks, and never more than one below what is above.
    assert_eq!(
        text("* a\n:* b\n::* c\n::: d\n\n:* e\n::* f\ntext\n\n::* g"),
        "- a\n  - b\n    - c\n    d\n\n  - e\n    - f\n\ntext\n\n- g"
    );
    assert_eq!(
        text("# a\n#: more\n# b\n## c\n## d\n# e"),
        "1. a\n  more\n2. b\n  1. c\n  2. d\n3. e"
    );
    assert_eq!(text(":E = mc\n:: where\n; term : meaning"), "E = mc\nwhere\nterm: meaning");
    // A space before a line: as it is written.
    assert_eq!(text("Code:\n if x\n   then y\n end"), "Code:\nif x\n  then y\nend");
    assert_eq!(text("a<br />  b\n{{x}}  c"), "a\nb\nc");
    assert_eq!(text("{|\n  |-\n  | a\n  |}\nb"), "b");
}

#[test]
fn chinese_and_other_languages() {
    assert_eq!(
        text("網路連-{zh-hans:接;zh-hant:線}-，參看[[流|-{zh-tw:串流; zh-cn:流控制;}-]]"),
        "網路連接，參看流控制"
    );
    assert_eq!(text("-{H|zh-cn:a;zh-tw:b}-正文-{zh-hans:\n着;\nzh-hant:著;}-"), "正文着");
    assert_eq!(text("-{zh;zh-hans;zh-hant|只此}-，-{[[甲|乙]]}-"), "只此，乙");
    assert_eq!(text("之{{fact|有人猜測|time=2008-03-19}}。{{fact|date=May 2008}}"), "之有人猜測。");
    assert_eq!(
        text("由{{link-en|网络草案|Internet Draft}}与{{tsl|en|Interix}}"),
        "由网络草案与Interix"
    );
    assert_eq!(text("正文\n== 参考 ==\n甲\n== 後 ==\n乙"), "正文\n\n## 後\n\n乙");
    assert_eq!(text("a\n== Вижте също ==\nb\n== Примечания ==\nc"), "a");
    assert_eq!(text("[[Картинка:X.png|мини|дума]][[Категория:Y]]дума"), "дума");
    // Another language's page.
    assert_eq!(text("a [[de:Titel]]"), "a");
}
