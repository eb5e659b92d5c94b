//! Who a client is: presence channels, signing in, watchlists, events of its own.

use serde_json::{Value, json};

use super::Client;

impl Client {
    /// Enters a presence channel as a user who says nothing of itself; these users are there then.
    pub async fn join(&mut self, channel: &str, user: &str, there: &[&str]) {
        self.ask_to_join(channel, &json!({ "user_id": user })).await;
        self.expect_users(channel, there).await;
    }

    /// The same where some say something of themselves.
    pub async fn join_with(&mut self, channel: &str, user: &str, there: &Value) {
        self.ask_to_join(channel, &json!({ "user_id": user })).await;
        self.expect_roster(channel, there).await;
    }

    /// Asks to enter a presence channel.
    pub async fn ask_to_join(&mut self, channel: &str, channel_data: &Value) {
        let channel_data = channel_data.to_string();
        let auth = self.auth(&format!("{channel}:{channel_data}"));
        let data = json!({ "channel": channel, "auth": auth, "channel_data": channel_data });
        self.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
    }

    /// Asks to enter a channel as whom the connection is signed in.
    pub async fn ask_to_join_signed_in(&mut self, channel: &str) {
        let data = json!({ "channel": channel, "auth": self.auth(channel) });
        self.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
    }

    /// The confirmation of a presence channel, next: what each user there says of itself, by id.
    pub async fn expect_roster(&mut self, channel: &str, users: &Value) {
        let data = self.expect_data(channel, "pusher_internal:subscription_succeeded").await;
        let users = users.as_object().expect("users by id");
        let ids: Vec<_> = users.keys().collect();
        let presence = json!({ "ids": ids, "hash": users, "count": ids.len() });
        assert_eq!(data, json!({ "presence": presence }));
    }

    /// The confirmation of a presence channel, next: users who say nothing of themselves.
    pub async fn expect_users(&mut self, channel: &str, users: &[&str]) {
        let users = users.iter().map(|&user| (user.to_owned(), json!({}))).collect();
        self.expect_roster(channel, &Value::Object(users)).await;
    }

    /// A user who says nothing of itself has come, next.
    pub async fn expect_added(&mut self, channel: &str, user: &str) {
        self.expect_added_as(channel, user, &json!({})).await;
    }

    /// A user has come who says this of itself, next.
    pub async fn expect_added_as(&mut self, channel: &str, user: &str, info: &Value) {
        let data = self.expect_data(channel, "pusher_internal:member_added").await;
        assert_eq!(data, json!({ "user_id": user, "user_info": info }));
    }

    /// A user has gone, next.
    pub async fn expect_removed(&mut self, channel: &str, user: &str) {
        let data = self.expect_data(channel, "pusher_internal:member_removed").await;
        assert_eq!(data, json!({ "user_id": user }));
    }

    /// Signs in and waits for the confirmation.
    pub async fn sign_in(&mut self, user_data: &Value) {
        self.ask_to_sign_in(&user_data.to_string()).await;
        self.expect_signed_in(&user_data.to_string()).await;
    }

    /// Asks to sign in, signed as the app's auth endpoint does it.
    pub async fn ask_to_sign_in(&mut self, user_data: &str) {
        let auth = self.auth(&format!(":user::{user_data}"));
        let data = json!({ "auth": auth, "user_data": user_data });
        self.send(&json!({ "event": "pusher:signin", "data": data })).await;
    }

    /// The confirmation of a sign-in, next.
    pub async fn expect_signed_in(&mut self, user_data: &str) {
        let data = json!({ "user_data": user_data });
        self.expect(&json!({ "event": "pusher:signin_success", "data": data })).await;
    }

    /// Who of the watched is online and who is not, next. Empty lists are left out.
    pub async fn expect_watched(&mut self, online: &[&str], offline: &[&str]) {
        let lists = [("online", online), ("offline", offline)];
        let lists = lists.iter().filter(|(_, users)| !users.is_empty());
        let events: Vec<_> =
            lists.map(|(name, users)| json!({ "name": name, "user_ids": users })).collect();
        let frame = self.next_frame().await;
        let text = frame["data"].as_str().unwrap_or_default();
        let event = "pusher_internal:watchlist_events";
        assert_eq!(frame, json!({ "event": event, "data": text }));
        let data: Value = serde_json::from_str(text).expect("the string holds JSON");
        assert_eq!(data, json!({ "events": events }));
    }

    /// Publishes an event of its own.
    pub async fn trigger(&mut self, channel: &str, name: &str, data: Value) {
        self.send(&json!({ "event": name, "channel": channel, "data": data })).await;
    }

    /// The number of a channel's subscriptions, next.
    pub async fn expect_count(&mut self, channel: &str, count: u32) {
        let data = self.expect_data(channel, "pusher_internal:subscription_count").await;
        assert_eq!(data, json!({ "subscription_count": count }));
    }

    /// A cache channel has nothing to show, next.
    pub async fn expect_miss(&mut self, channel: &str) {
        self.expect_event(channel, "pusher:cache_miss", "{}").await;
    }
}
