//! What the Hub's refusals mean, and what to do.

use athanor_store::Error;

use super::{
    super::http::{Failure, Status},
    Hub,
};

impl Hub<'_> {
    /// What the Hub's refusals mean, and what to do.
    pub(super) fn explain(&self, failure: Failure) -> Error {
        let endpoint = &self.how.settings.endpoint;
        let name = &self.at.name;
        let status = match failure {
            Failure::Status(status) => status,
            other => return other.explain().at(self.address),
        };
        let Status { code, url, error, message, .. } = &status;
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        let tokens = "https://huggingface.co/settings/tokens";
        let explained = match (*code, error.as_str(), self.token()) {
            (_, "GatedRepo", _) | (403, _, _) => Some((
                format!("access to {name} has to be granted ({code}{said})"),
                match self.token() {
                    Some(_) => format!(
                        "accept its terms at {endpoint}/datasets/{name} as the user of HF_TOKEN, then run again"
                    ),
                    None => format!(
                        "accept its terms at {endpoint}/datasets/{name}, then set HF_TOKEN to a token of yours ({tokens})"
                    ),
                },
            )),
            (401, _, None) => Some((
                format!("the Hub wants to know who asks for {name} ({code}{said})"),
                format!(
                    "check the name; if it is private, set HF_TOKEN to a token that may read it ({tokens})"
                ),
            )),
            (401, _, Some(_)) => Some((
                format!("the Hub does not accept the token, or there is no {name} ({code}{said})"),
                format!(
                    "check the name, and HF_TOKEN or the token that `hf auth login` left ({tokens})"
                ),
            )),
            (404, "RevisionNotFound", _) => Some((
                format!("{name} has no branch, tag or commit {} ({code}{said})", self.at.revision),
                format!("its branches are listed at {endpoint}/datasets/{name}/tree/main"),
            )),
            (404, "EntryNotFound", _) => Some((
                format!("{name} has no such file or folder ({code}{said})"),
                format!(
                    "its files are listed at {endpoint}/datasets/{name}/tree/{}",
                    self.at.revision
                ),
            )),
            (404, _, _) => Some((
                format!("there is no data set {name}, or no such file in it ({code}{said})"),
                "check the name and the path; one that is private is shown to its HF_TOKEN only"
                    .to_string(),
            )),
            (429, _, None) => {
                let what = format!("the Hub wants fewer requests ({code}{said})");
                let hint = format!(
                    "wait and run again, or set HF_TOKEN: who is known may ask more ({tokens})"
                );
                return Error::failed(what).at(url).at(self.address).hint(hint);
            }
            _ => None,
        };
        match explained {
            Some((what, hint)) => Error::input(what).at(url).at(self.address).hint(hint),
            None => Failure::Status(status).explain().at(self.address),
        }
    }
}
