//! Lines of pages that are no text: navigation, sharing, cookies, copyright, "read more", in English and
//! Chinese. What extraction leaves of them, as the short-line rules of jusText (Pomikálek 2011) and the
//! phrases of RefinedWeb (Penedo et al. 2023, <https://arxiv.org/abs/2306.01116>, appendix G.2) have it.

use athanor_store::{Check, section};
use serde_json::Value;

use super::{Outcome, Step, parameters, script};

section! {
    /// Boilerplate.
    pub struct Boilerplate {
        /// Lines of more characters are text.
        max_characters: usize = 100,
        /// Further phrases: a short line that begins with one goes. Case does not matter.
        phrases: Vec<String> = Vec::new(),
        /// Lines of short parts between bars and arrows go: "Home | About | Contact".
        menus: bool = true,
        /// Drop a document of which fewer characters are left.
        min_characters: usize = 10,
    }
}

impl Check for Boilerplate {}

/// Short lines that begin so.
const BEGINNINGS: &[&str] = &[
    "skip to content",
    "skip to main",
    "skip navigation",
    "jump to navigation",
    "back to top",
    "share this",
    "share on ",
    "tweet this",
    "follow us",
    "like us on",
    "subscribe to our",
    "sign up for our",
    "sign up to",
    "sign in",
    "log in",
    "login",
    "register now",
    "create an account",
    "forgot your password",
    "read more",
    "click here",
    "learn more",
    "show more",
    "load more",
    "view all",
    "see all",
    "leave a comment",
    "leave a reply",
    "post a comment",
    "add a comment",
    "no comments",
    "previous post",
    "next post",
    "previous article",
    "next article",
    "related posts",
    "related articles",
    "you may also like",
    "copyright ©",
    "copyright (c)",
    "© 20",
    "© 19",
    "all rights reserved",
    "powered by",
    "terms of service",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "cookie settings",
    "accept cookies",
    "we use cookies",
    "this site uses cookies",
    "this website uses cookies",
    "advertisement",
    "sponsored content",
    "your email address will not",
    "add to cart",
    "print this page",
    "email this",
    "上一篇",
    "下一篇",
    "上一页",
    "下一页",
    "上一頁",
    "下一頁",
    "返回顶部",
    "返回頂部",
    "返回首页",
    "返回首頁",
    "点击查看",
    "點擊查看",
    "点击这里",
    "點擊這裡",
    "查看更多",
    "阅读更多",
    "閱讀更多",
    "更多精彩",
    "相关阅读",
    "相關閱讀",
    "相关文章",
    "相關文章",
    "相关推荐",
    "猜你喜欢",
    "热门推荐",
    "分享到",
    "关注我们",
    "關注我們",
    "扫码关注",
    "扫描二维码",
    "微信公众号",
    "版权所有",
    "版權所有",
    "责任编辑",
    "責任編輯",
    "免责声明",
    "免責聲明",
    "发表评论",
    "發表評論",
    "登录",
    "注册",
    "登入",
    "註冊",
    "联系我们",
    "聯絡我們",
    "隐私政策",
    "隱私政策",
    "使用条款",
    "使用條款",
    "京icp备",
    "沪icp备",
    "粤icp备",
    "首页 ",
    "首頁 ",
    "当前位置",
    "當前位置",
    "您的位置",
    "转载请注明",
    "轉載請註明",
    "广告",
    "廣告",
];

impl Step for Boilerplate {
    fn apply(&self, text: &str) -> Outcome {
        let mut kept = Vec::new();
        let mut removed = 0;
        for line in text.split('\n') {
            if self.is(line.trim()) {
                removed += 1;
            } else {
                kept.push(line);
            }
        }
        if removed == 0 {
            return Outcome::Keep;
        }
        let text = kept.join("\n").trim_matches('\n').to_string();
        if text.chars().filter(|c| !c.is_whitespace()).count() < self.min_characters {
            return Outcome::Drop("nothing but boilerplate");
        }
        Outcome::Edit(text, vec![("lines removed", removed)])
    }

    fn parameters(&self) -> Value {
        parameters(self)
    }
}

impl Boilerplate {
    fn is(&self, line: &str) -> bool {
        if line.is_empty() || line.chars().count() > self.max_characters {
            return false;
        }
        let line =
            line.trim_start_matches(['-', '*', '•', '·', '>', '»', '#', '|', ' ', '\u{3000}']);
        let lower = line.to_lowercase();
        // "Login was impossible that day." is a sentence; a button has no full stop.
        let sentence = line.ends_with(['.', '。', '?', '？', '!', '！', ',', '，', ';', '；'])
            && script::words(line).len() > 8;
        let begins = |phrase: &str| {
            lower.strip_prefix(phrase).is_some_and(|rest| {
                // A whole word, unless the phrase ends with none.
                !phrase.ends_with(|c: char| c.is_ascii_alphabetic())
                    || !rest.starts_with(|c: char| c.is_alphanumeric())
            })
        };
        let begins_own = self.phrases.iter().any(|p| begins(&p.to_lowercase()));
        if !sentence && (begins_own || BEGINNINGS.iter().any(|p| begins(p))) {
            return true;
        }
        self.menus && menu(line)
    }
}

/// At least three short parts between bars, arrows or dots.
fn menu(line: &str) -> bool {
    let bars = ['|', '»', '›', '·', '•', '＞', '｜', '┊'];
    let parts: Vec<&str> = line.split(bars).map(str::trim).filter(|p| !p.is_empty()).collect();
    let separators = line.chars().filter(|c| bars.contains(c)).count();
    // Numbers between bars are a table.
    let letters =
        |p: &&str| p.chars().any(char::is_alphabetic) && !p.chars().any(|c| c.is_ascii_digit());
    separators >= 2
        && parts.len() >= 3
        && parts.iter().all(|p| p.chars().count() <= 20 && script::words(p).len() <= 6)
        && parts.iter().all(letters)
        && line.contains(" | ")
            | line.contains('»')
            | line.contains('›')
            | line.contains('｜')
            | line.contains(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_text() {
        let step = Boilerplate::default();
        for gone in [
            "Skip to content",
            "Home | About us | Contact",
            "© 2021 A Firm Ltd. All rights reserved",
            "Read more »",
            "- Share on Facebook",
            "上一篇：春天的故事",
            "首页 > 新闻 > 体育",
            "京ICP备12345号",
        ] {
            assert!(step.is(gone), "{gone}");
        }
        for kept in [
            "Login was impossible on that day, as the server had burnt down.",
            "He read more than she.",
            "The home of the brave",
            "登录系统的时候，他忘记了自己的密码，只好再等一天。",
            "10 | 20 | 30",
            "Registered letters are slow",
            "10 | 1,300",
            "cone | heat",
        ] {
            assert!(!step.is(kept), "{kept}");
        }
    }
}
