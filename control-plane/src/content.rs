//! What a publish says, in 128 bits: to recognise it when it comes again.

use model::{AppId, Draft, MessageId};
use ring::digest::{Context, SHA256};

/// The digest of texts, none of which can run into its neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content(u128);

/// Puts texts into a [`Content`].
struct Texts(Context);

impl Content {
    /// Of these texts, in this order.
    #[must_use]
    pub fn of_texts(texts: &[&str]) -> Self {
        let mut all = Texts::new();
        texts.iter().for_each(|text| all.add(text.as_bytes()));
        all.content()
    }

    /// Of all that a caller wrote into these drafts.
    #[must_use]
    pub fn of_drafts(drafts: &[Draft]) -> Self {
        let mut all = Texts::new();
        drafts.iter().for_each(|draft| all.add_draft(draft));
        all.content()
    }

    /// Which of `shares` equal shares it falls into.
    #[must_use]
    pub fn share(self, shares: usize) -> usize {
        (self.0 % shares as u128) as usize
    }

    /// The id of a publish that its key and content name: the same on every control plane.
    #[must_use]
    pub fn message_id(app: &AppId, key: Self, content: Self) -> MessageId {
        let mut all = Texts::new();
        all.add(app.as_str().as_bytes());
        all.add(&key.0.to_be_bytes());
        all.add(&content.0.to_be_bytes());
        MessageId(all.content().0)
    }
}

impl Texts {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn add(&mut self, text: &[u8]) {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn add_choice<T>(&mut self, choice: Option<T>, add: impl FnOnce(&mut Self, T)) {
        match choice {
            None => self.0.update(&[0]),
            Some(chosen) => {
                self.0.update(&[1]);
                add(self, chosen);
            }
        }
    }

    fn add_draft(&mut self, draft: &Draft) {
        // The same publish may be tried again within another trace.
        let Draft { name, data, channels, socket_id, info, tags, delta, idempotency_key, .. } =
            draft;
        self.add(name.as_bytes());
        self.add_choice(data.as_ref(), |all, data| all.add(data));
        self.add(&(channels.len() as u64).to_be_bytes());
        channels.iter().for_each(|channel| self.add(channel.as_bytes()));
        self.add_choice(socket_id.as_ref(), |all, id| all.add(id.as_bytes()));
        self.add_choice(*info, |all, info| {
            all.add(&[u8::from(info.subscription_count), u8::from(info.user_count)]);
        });
        self.add_choice(tags.as_ref(), |all, tags| {
            all.add(&(tags.len() as u64).to_be_bytes());
            for text in tags.iter().flat_map(|(key, value)| [key, value]) {
                all.add(text.as_bytes());
            }
        });
        self.add_choice(*delta, |all, delta| all.add(&[u8::from(delta)]));
        self.add_choice(idempotency_key.as_ref(), |all, key| all.add(key.as_bytes()));
    }

    fn content(self) -> Content {
        let digest = self.0.finish();
        let half = digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
        Content(u128::from_be_bytes(*half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(change: impl FnOnce(&mut Draft)) -> Content {
        let mut draft = Draft {
            name: "price".into(),
            data: Some("1".into()),
            channels: vec!["a".into(), "b".into()],
            ..Draft::default()
        };
        change(&mut draft);
        Content::of_drafts(&[draft])
    }

    #[test]
    fn whatever_differs_is_seen() {
        let same = draft(|_| {});
        assert_eq!(same, draft(|_| {}));
        let others = [
            draft(|draft| draft.name = "pric".into()),
            draft(|draft| draft.data = None),
            draft(|draft| draft.data = Some("".into())),
            draft(|draft| draft.channels = vec!["ab".into()]),
            draft(|draft| draft.channels.reverse()),
            draft(|draft| draft.socket_id = Some("1.1".into())),
            draft(|draft| draft.info = Some(model::InfoWanted::default())),
            draft(|draft| draft.tags = Some(model::Tags::default())),
            draft(|draft| draft.tags = Some([("a".into(), "b".into())].into())),
            draft(|draft| draft.delta = Some(false)),
            draft(|draft| draft.delta = Some(true)),
            draft(|draft| draft.idempotency_key = Some("k".into())),
        ];
        let mut all = std::collections::HashSet::from([same]);
        all.extend(others);
        assert_eq!(all.len(), 13);
    }

    #[test]
    fn texts_do_not_run_together() {
        assert_ne!(Content::of_texts(&["ab", "c"]), Content::of_texts(&["a", "bc"]));
        let (app, other) = (AppId::parse("a").unwrap(), AppId::parse("b").unwrap());
        let [key, content] = ["k", "c"].map(|text| Content::of_texts(&[text]));
        let id = Content::message_id(&app, key, content);
        assert_eq!(id, Content::message_id(&app, key, content));
        assert_ne!(id, Content::message_id(&other, key, content));
        assert_ne!(id, Content::message_id(&app, content, key));
    }
}
