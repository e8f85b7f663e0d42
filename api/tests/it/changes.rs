//! Changes of the floor plan: their effects, and the reasons why they are refused.

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::harness::{Service, on_both};

impl Service {
    /// Returns the payload of a mutation: the object under `object`, and the codes and paths of its user errors.
    async fn change(&self, mutation: &str, object: &str, variables: Value) -> (Value, Vec<String>) {
        let mut data = self.data(mutation, variables).await;
        let payload = data.as_object_mut().unwrap().values_mut().next().unwrap();
        let errors = payload["userErrors"].as_array().unwrap().iter().map(|error| {
            assert!(!error["message"].as_str().unwrap().is_empty());
            let path: Vec<_> =
                error["field"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
            format!("{} {}", error["code"].as_str().unwrap(), path.join("."))
        });
        (payload[object].clone(), errors.collect())
    }

    async fn space_create(&self, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($input: SpaceCreateInput!) { spaceCreate(input: $input) {
            space { id name capacity timeZone negativeCounts created modified } userErrors { code field message } } }";
        self.change(mutation, "space", json!({ "input": input })).await
    }

    async fn space_update(&self, id: &Value, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($id: ID!, $input: SpaceUpdateInput!) { spaceUpdate(id: $id, input: $input) {
            space { id name capacity timeZone negativeCounts created modified } userErrors { code field message } } }";
        self.change(mutation, "space", json!({ "id": id, "input": input })).await
    }

    async fn space_delete(&self, id: &Value, cascade: bool) -> (Value, Vec<String>) {
        let mutation = "mutation ($id: ID!, $cascade: Boolean!) { spaceDelete(id: $id, cascade: $cascade) {
            space { name } userErrors { code field message } } }";
        self.change(mutation, "space", json!({ "id": id, "cascade": cascade })).await
    }

    async fn dpu_create(&self, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($input: DpuCreateInput!) { dpuCreate(input: $input) {
            dpu { id serial name } userErrors { code field message } } }";
        self.change(mutation, "dpu", json!({ "input": input })).await
    }

    async fn dpu_update(&self, id: &Value, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($id: ID!, $input: DpuUpdateInput!) { dpuUpdate(id: $id, input: $input) {
            dpu { serial name } userErrors { code field message } } }";
        self.change(mutation, "dpu", json!({ "id": id, "input": input })).await
    }

    async fn dpu_move(&self, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($input: DpuMoveInput!) { dpuMove(input: $input) {
            assignments { space { name } placement doorway startsAt endsAt } userErrors { code field message } } }";
        self.change(mutation, "assignments", json!({ "input": input })).await
    }

    async fn assignment_create(&self, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($input: AssignmentCreateInput!) { assignmentCreate(input: $input) {
            assignment { id placement doorway startsAt endsAt } userErrors { code field message } } }";
        self.change(mutation, "assignment", json!({ "input": input })).await
    }

    async fn assignment_update(&self, id: &Value, input: Value) -> (Value, Vec<String>) {
        let mutation =
            "mutation ($id: ID!, $input: AssignmentUpdateInput!) { assignmentUpdate(id: $id, input: $input) {
            assignment { dpu { serial } space { name } placement doorway startsAt endsAt }
            userErrors { code field message } } }";
        self.change(mutation, "assignment", json!({ "id": id, "input": input })).await
    }

    async fn assignment_end(&self, id: &Value, at: &str) -> (Value, Vec<String>) {
        let mutation = "mutation ($id: ID!, $at: DateTime!) { assignmentEnd(id: $id, at: $at) {
            assignment { endsAt } userErrors { code field message } } }";
        self.change(mutation, "assignment", json!({ "id": id, "at": at })).await
    }

    async fn assignment_delete(&self, id: &Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($id: ID!) { assignmentDelete(id: $id) {
            assignment { id } userErrors { code field message } } }";
        self.change(mutation, "assignment", json!({ "id": id })).await
    }

    async fn reset_create(&self, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($input: ResetCreateInput!) { resetCreate(input: $input) {
            reset { id ts count note space { id } } userErrors { code field message } } }";
        self.change(mutation, "reset", json!({ "input": input })).await
    }

    async fn reset_update(&self, id: &Value, input: Value) -> (Value, Vec<String>) {
        let mutation =
            "mutation ($id: ID!, $input: ResetUpdateInput!) { resetUpdate(id: $id, input: $input) {
            reset { ts count note } userErrors { code field message } } }";
        self.change(mutation, "reset", json!({ "id": id, "input": input })).await
    }

    async fn reset_delete(&self, id: &Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($id: ID!) { resetDelete(id: $id) {
            reset { count } userErrors { code field message } } }";
        self.change(mutation, "reset", json!({ "id": id })).await
    }

    async fn rule_create(&self, input: Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($input: ResetRuleCreateInput!) { resetRuleCreate(input: $input) {
            resetRule { id timeOfDay count firstDay lastDay } userErrors { code field message } } }";
        self.change(mutation, "resetRule", json!({ "input": input })).await
    }

    async fn rule_update(&self, id: &Value, input: Value) -> (Value, Vec<String>) {
        let mutation =
            "mutation ($id: ID!, $input: ResetRuleUpdateInput!) { resetRuleUpdate(id: $id, input: $input) {
            resetRule { timeOfDay count firstDay lastDay } userErrors { code field message } } }";
        self.change(mutation, "resetRule", json!({ "id": id, "input": input })).await
    }

    async fn rule_delete(&self, id: &Value) -> (Value, Vec<String>) {
        let mutation = "mutation ($id: ID!) { resetRuleDelete(id: $id) {
            resetRule { count } userErrors { code field message } } }";
        self.change(mutation, "resetRule", json!({ "id": id })).await
    }

    /// Creates a space, a DPU, and its assignment without a start; returns their ids.
    async fn hall(&self) -> (Value, Value, Value) {
        let space = self.space_create(json!({ "name": "Hall" })).await.0["id"].take();
        let dpu = self.dpu_create(json!({ "serial": "283" })).await.0["id"].take();
        let input = json!({ "dpu": dpu, "space": space, "placement": "INSIDE" });
        let assignment = self.assignment_create(input).await.0["id"].take();
        (space, dpu, assignment)
    }

    async fn cross(&self, ts: &str) {
        let event = json!([{ "dpu": "283", "ts": ts, "direction": "TOWARD" }]);
        assert_eq!(self.ingest(event).await["accepted"], 1);
    }

    async fn now_in(&self, space: &Value) -> i64 {
        self.count(space.as_str().unwrap().parse().unwrap(), crate::harness::NOW).await
    }
}

/// Returns the result of a refused change: no object, and this one error.
fn refused(error: &str) -> (Value, Vec<String>) {
    (Value::Null, vec![error.to_owned()])
}

fn long(characters: usize) -> String {
    "ü".repeat(characters)
}

async fn a_space_is_created_updated_and_deleted(service: &Service) {
    let (space, errors) = service
        .space_create(json!({
            "name": "  Hall ", "capacity": 80, "timeZone": "Europe/Berlin", "negativeCounts": "CLAMP",
        }))
        .await;
    assert!(errors.is_empty(), "{errors:?}");
    let now = crate::harness::NOW;
    assert_eq!(
        space,
        json!({
            "id": space["id"], "name": "Hall", "capacity": 80, "timeZone": "Europe/Berlin", "negativeCounts": "CLAMP",
            "created": now, "modified": now,
        })
    );
    service.set_now("2026-03-02T00:00:00Z");
    let (updated, _) =
        service.space_update(&space["id"], json!({ "capacity": null, "timeZone": "UTC" })).await;
    assert_eq!(
        updated,
        json!({
            "id": space["id"], "name": "Hall", "capacity": null, "timeZone": "UTC", "negativeCounts": "CLAMP",
            "created": now, "modified": "2026-03-02T00:00:00Z",
        })
    );
    let (updated, _) =
        service.space_update(&space["id"], json!({ "name": "Loft", "negativeCounts": "REPORT" })).await;
    assert_eq!((&updated["name"], &updated["negativeCounts"]), (&json!("Loft"), &json!("REPORT")));
    assert_eq!(service.space_delete(&space["id"], false).await, (json!({ "name": "Loft" }), vec![]));
    assert_eq!(service.space_delete(&space["id"], false).await, refused("NOT_FOUND id"));
    assert_eq!(service.data("{ spaces { totalCount } }", Value::Null).await["spaces"]["totalCount"], 0);
}

async fn spaces_that_are_refused(service: &Service) {
    let (first, _) = service.space_create(json!({ "name": "Hall" })).await;
    service.space_create(json!({ "name": long(200), "capacity": i32::MAX })).await;
    for (input, error) in [
        (json!({ "name": "Hall" }), "TAKEN input.name"),
        (json!({ "name": " " }), "BLANK input.name"),
        (json!({ "name": "\u{200B}" }), "BLANK input.name"),
        (json!({ "name": "a\u{0}b" }), "BAD_CHARACTER input.name"),
        (json!({ "name": "a\u{202E}b" }), "BAD_CHARACTER input.name"),
        (json!({ "name": long(201) }), "TOO_LONG input.name"),
        (json!({ "name": "Loft", "capacity": 0 }), "OUT_OF_RANGE input.capacity"),
        (json!({ "name": "Loft", "timeZone": "Berlin" }), "INVALID input.timeZone"),
    ] {
        assert_eq!(service.space_create(input.clone()).await, refused(error), "{input}");
    }
    for (input, error) in [
        (json!({ "name": long(200) }), "TAKEN input.name"),
        (json!({ "name": "" }), "BLANK input.name"),
        (json!({ "capacity": -1 }), "OUT_OF_RANGE input.capacity"),
        (json!({ "timeZone": "" }), "INVALID input.timeZone"),
    ] {
        assert_eq!(service.space_update(&first["id"], input.clone()).await, refused(error), "{input}");
    }
    // Equal-looking names are equal.
    let (cafe, _) = service.space_create(json!({ "name": "Cafe\u{301}" })).await;
    assert_eq!(cafe["name"], "Caf\u{e9}");
    assert_eq!(service.space_create(json!({ "name": "Caf\u{e9}" })).await, refused("TAKEN input.name"));
    for id in ["0", "abc", "+1", "-1", "", "9223372036854775808"] {
        assert_eq!(service.space_update(&json!(id), json!({})).await, refused("NOT_FOUND id"));
        assert_eq!(service.space_delete(&json!(id), true).await, refused("NOT_FOUND id"));
    }
}

async fn a_referenced_space_is_deleted_only_with_cascade(service: &Service) {
    let (space, _, _) = service.hall().await;
    service.reset_create(json!({ "space": space, "ts": "2026-01-01", "count": 1 })).await;
    service.rule_create(json!({ "space": space, "timeOfDay": "04:00", "firstDay": "2026-01-01" })).await;
    service.cross("2026-01-02").await;
    assert_eq!(service.space_delete(&space, false).await, refused("IN_USE id"));
    assert_eq!(service.space_delete(&space, true).await, (json!({ "name": "Hall" }), vec![]));
    let left =
        service.data("{ dpus { nodes { assignments { totalCount } lastEvent { ts } } } }", Value::Null).await;
    assert_eq!(
        left["dpus"]["nodes"][0],
        json!({ "assignments": { "totalCount": 0 }, "lastEvent": { "ts": "2026-01-02T00:00:00Z" } })
    );
}

async fn a_dpu_is_created_and_updated_or_refused(service: &Service) {
    let (dpu, errors) = service.dpu_create(json!({ "serial": " 283 ", "name": "Door" })).await;
    assert_eq!((&dpu["serial"], &dpu["name"], errors.len()), (&json!("283"), &json!("Door"), 0));
    service.dpu_create(json!({ "serial": "423" })).await;
    for (input, error) in [
        (json!({ "serial": "283" }), "TAKEN input.serial"),
        (json!({ "serial": "" }), "BLANK input.serial"),
        (json!({ "serial": long(201) }), "TOO_LONG input.serial"),
        (json!({ "serial": "1", "name": "\u{7}" }), "BAD_CHARACTER input.name"),
    ] {
        assert_eq!(service.dpu_create(input.clone()).await, refused(error), "{input}");
    }
    assert_eq!(
        service.dpu_update(&dpu["id"], json!({ "serial": "423" })).await,
        refused("TAKEN input.serial")
    );
    assert_eq!(service.dpu_update(&dpu["id"], json!({ "name": "" })).await, refused("BLANK input.name"));
    assert_eq!(service.dpu_update(&json!("7x"), json!({})).await, refused("NOT_FOUND id"));
    let (updated, _) = service.dpu_update(&dpu["id"], json!({ "serial": "284", "name": null })).await;
    assert_eq!(updated, json!({ "serial": "284", "name": null }));
    service.dpu_create(json!({ "serial": "T\u{fc}r" })).await;
    assert_eq!(
        service.ingest(json!([{ "dpu": "Tu\u{308}r", "ts": "2026-01-01", "direction": "AWAY" }])).await["accepted"],
        1
    );
    // As an earlier version stored it.
    let stored = "UPDATE dpu SET serial = 'Tu\u{308}r' WHERE serial = 'T\u{fc}r'";
    let transaction = service.app.database.begin().await.unwrap();
    transaction.execute_unprepared(stored).await.unwrap();
    transaction.commit().await.unwrap();
    service.app.state.refresh().await.unwrap();
    for (serial, ts) in [("Tu\u{308}r", "2026-01-02"), ("T\u{fc}r", "2026-01-03")] {
        assert_eq!(
            service.ingest(json!([{ "dpu": serial, "ts": ts, "direction": "AWAY" }])).await["accepted"],
            1
        );
    }
    // Events follow the DPU after it was renamed.
    assert_eq!(
        service.ingest(json!([{ "dpu": "284", "ts": "2026-01-01", "direction": "AWAY" }])).await["accepted"],
        1
    );
}

async fn assignments_that_are_refused(service: &Service) {
    let (space, dpu, assignment) = service.hall().await;
    service.assignment_end(&assignment, "2026-01-01").await;
    let input = |more: Value| {
        let mut input =
            json!({ "dpu": dpu, "space": space, "placement": "OUTSIDE", "startsAt": "2026-01-01" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    for (more, error) in [
        (json!({ "dpu": "99" }), "NOT_FOUND input.dpu"),
        (json!({ "dpu": "x" }), "NOT_FOUND input.dpu"),
        (json!({ "space": "99" }), "NOT_FOUND input.space"),
        (json!({ "space": "" }), "NOT_FOUND input.space"),
        (json!({ "startsAt": "2025-12-31T23:59:59.999Z" }), "OVERLAP input.startsAt"),
        (json!({ "startsAt": null }), "OVERLAP input.startsAt"),
        (json!({ "startsAt": "yesterday" }), "INVALID input.startsAt"),
        (json!({ "endsAt": "2026-13-01" }), "INVALID input.endsAt"),
        (json!({ "endsAt": "2026-01-01" }), "ENDS_BEFORE_START input.endsAt"),
        (json!({ "startsAt": "2025-12-31", "endsAt": "2025-12-30" }), "ENDS_BEFORE_START input.endsAt"),
        (json!({ "doorway": "" }), "BLANK input.doorway"),
        (json!({ "doorway": long(201) }), "TOO_LONG input.doorway"),
    ] {
        assert_eq!(service.assignment_create(input(more.clone())).await, refused(error), "{more}");
    }
    let (second, errors) = service.assignment_create(input(json!({}))).await;
    assert!(errors.is_empty(), "adjacent periods do not overlap: {errors:?}");
    for (input, error) in [
        (json!({ "startsAt": "2025-12-31" }), "OVERLAP input.startsAt"),
        (json!({ "startsAt": "2026-01-32" }), "INVALID input.startsAt"),
        (json!({ "endsAt": "2025-01-01" }), "ENDS_BEFORE_START input.endsAt"),
        (json!({ "dpu": "99" }), "NOT_FOUND input.dpu"),
        (json!({ "space": "99" }), "NOT_FOUND input.space"),
        (json!({ "doorway": "\n" }), "BLANK input.doorway"),
    ] {
        assert_eq!(service.assignment_update(&second["id"], input.clone()).await, refused(error), "{input}");
    }
    assert_eq!(service.assignment_end(&second["id"], "2026-01-01").await, refused("ENDS_BEFORE_START at"));
    assert_eq!(service.assignment_end(&second["id"], "soon").await, refused("INVALID at"));
    for id in [json!("99"), json!("x")] {
        assert_eq!(service.assignment_update(&id, json!({})).await, refused("NOT_FOUND id"));
        assert_eq!(service.assignment_end(&id, "2026-01-01").await, refused("NOT_FOUND id"));
        assert_eq!(service.assignment_delete(&id).await, refused("NOT_FOUND id"));
    }
}

async fn a_correction_of_an_assignment_corrects_every_count(service: &Service) {
    let (hall, _, assignment) = service.hall().await;
    let loft = service.space_create(json!({ "name": "Loft" })).await.0["id"].take();
    for ts in ["2025-01-01", "2025-06-01", "2026-01-01"] {
        service.cross(ts).await;
    }
    assert_eq!((service.now_in(&hall).await, service.now_in(&loft).await), (3, 0));
    service.assignment_update(&assignment, json!({ "startsAt": "2025-06-01", "doorway": "Front" })).await;
    assert_eq!((service.now_in(&hall).await, service.now_in(&loft).await), (2, 0));
    service.assignment_update(&assignment, json!({ "placement": "OUTSIDE", "startsAt": null })).await;
    assert_eq!((service.now_in(&hall).await, service.now_in(&loft).await), (-3, 0));
    let (corrected, _) =
        service.assignment_update(&assignment, json!({ "space": loft, "endsAt": "2026-01-01" })).await;
    assert_eq!(
        corrected,
        json!({ "dpu": { "serial": "283" }, "space": { "name": "Loft" }, "placement": "OUTSIDE",
        "doorway": "Front", "startsAt": null, "endsAt": "2026-01-01T00:00:00Z" })
    );
    assert_eq!((service.now_in(&hall).await, service.now_in(&loft).await), (0, -2));
    service.assignment_end(&assignment, "2025-01-02").await;
    assert_eq!((service.now_in(&hall).await, service.now_in(&loft).await), (0, -1));
    service.assignment_delete(&assignment).await;
    assert_eq!((service.now_in(&hall).await, service.now_in(&loft).await), (0, 0));
}

async fn a_dpu_is_moved_now_or_in_the_past(service: &Service) {
    let (hall, dpu, _) = service.hall().await;
    let loft = service.space_create(json!({ "name": "Loft" })).await.0["id"].take();
    let attic = service.space_create(json!({ "name": "Attic" })).await.0["id"].take();
    for ts in ["2025-01-01", "2025-06-01", "2026-01-01"] {
        service.cross(ts).await;
    }
    let (made, errors) = service.dpu_move(json!({ "dpu": dpu, "at": "2026-01-01", "to": [
        { "space": loft, "placement": "INSIDE", "doorway": "Stairs" }, { "space": hall, "placement": "OUTSIDE" },
    ] })).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        made,
        json!([
            { "space": { "name": "Loft" }, "placement": "INSIDE", "doorway": "Stairs", "startsAt": "2026-01-01T00:00:00Z", "endsAt": null },
            { "space": { "name": "Hall" }, "placement": "OUTSIDE", "doorway": null, "startsAt": "2026-01-01T00:00:00Z", "endsAt": null },
        ])
    );
    assert_eq!((service.now_in(&hall).await, service.now_in(&loft).await), (1, 1));
    // Recorded afterwards, between known moves: it lasts until the next one.
    let (made, _) = service
        .dpu_move(
            json!({ "dpu": dpu, "at": "2025-03-01", "to": [{ "space": attic, "placement": "INSIDE" }] }),
        )
        .await;
    assert_eq!(made[0]["endsAt"], "2026-01-01T00:00:00Z");
    assert_eq!(
        (service.now_in(&hall).await, service.now_in(&loft).await, service.now_in(&attic).await),
        (0, 1, 1)
    );

    let target = json!({ "space": attic, "placement": "INSIDE" });
    for (input, error) in [
        (json!({ "dpu": "99", "at": "2026-02-01", "to": [target] }), "NOT_FOUND input.dpu"),
        (json!({ "dpu": dpu, "at": "2026-02-30", "to": [target] }), "INVALID input.at"),
        (json!({ "dpu": dpu, "at": "2026-01-01", "to": [target] }), "OVERLAP input.at"),
        (json!({ "dpu": dpu, "at": "2026-02-01", "to": [] }), "OUT_OF_RANGE input.to"),
        (json!({ "dpu": dpu, "at": "2026-02-01", "to": [target, target, target] }), "OUT_OF_RANGE input.to"),
        (json!({ "dpu": dpu, "at": "2026-02-01", "to": [target, target] }), "OVERLAP input.to.1.startsAt"),
        (
            json!({ "dpu": dpu, "at": "2026-02-01", "to": [target, { "space": "99", "placement": "INSIDE" }] }),
            "NOT_FOUND input.to.1.space",
        ),
    ] {
        let (made, errors) = service.dpu_move(input.clone()).await;
        assert_eq!((made, errors), (json!([]), vec![error.to_owned()]), "{input}");
    }
    // A refused move does not end the current assignment.
    let data =
        service.data("query ($id: ID!) { space(id: $id) { dpus { serial } } }", json!({ "id": loft })).await;
    assert_eq!(data["space"]["dpus"], json!([{ "serial": "283" }]));
}

async fn concurrent_moves_leave_a_dpu_in_one_place(service: &Service) {
    let (_, dpu, _) = service.hall().await;
    let mut spaces = Vec::new();
    for number in 0..8 {
        spaces.push(service.space_create(json!({ "name": format!("Room {number}") })).await.0["id"].take());
    }
    let moves = spaces.iter().enumerate().map(|(day, space)| {
        let at = format!("2026-01-{:02}", day + 1);
        service.dpu_move(json!({ "dpu": dpu, "at": at, "to": [{ "space": space, "placement": "INSIDE" }] }))
    });
    for (_, errors) in futures::future::join_all(moves).await {
        assert!(errors.is_empty(), "{errors:?}");
    }
    let data = service
        .data("{ dpu(serial: \"283\") { assignments { nodes { startsAt endsAt } } } }", Value::Null)
        .await;
    let mut held: Vec<(String, String)> = data["dpu"]["assignments"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| {
            (
                held["startsAt"].as_str().unwrap_or("").to_owned(),
                held["endsAt"].as_str().unwrap_or("9").to_owned(),
            )
        })
        .collect();
    held.sort();
    assert_eq!(held.len(), 9);
    for pair in held.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "one ends where the next starts: {held:?}");
    }
}

async fn concurrent_assignments_never_overlap(service: &Service) {
    let (space, dpu, assignment) = service.hall().await;
    service.assignment_delete(&assignment).await;
    let create = |day: u32| {
        let input = json!({ "dpu": dpu, "space": space, "placement": "INSIDE",
            "startsAt": format!("2026-01-{day:02}"), "endsAt": format!("2026-01-{:02}", day + 3) });
        service.assignment_create(input)
    };
    let created = futures::future::join_all((1..20).map(create)).await;
    let made = created.iter().filter(|(_, errors)| errors.is_empty()).count();
    assert!(
        made >= 1
            && created.iter().all(|(_, errors)| errors.is_empty() || errors == &["OVERLAP input.startsAt"])
    );
    let overlaps = "SELECT COUNT(*) FROM assignment a JOIN assignment b
        ON a.id < b.id AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at";
    let sql = sea_orm::Statement::from_string(service.app.database.backend(), overlaps);
    let row = service.app.database.reader().query_one_raw(sql).await.unwrap().unwrap();
    assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0);
}

async fn a_reset_states_the_count_and_can_be_corrected(service: &Service) {
    let (space, _, _) = service.hall().await;
    for ts in ["2026-01-01", "2026-01-02", "2026-01-03"] {
        service.cross(ts).await;
    }
    let (reset, errors) = service
        .reset_create(json!({ "space": space, "ts": "2026-01-02", "count": 10, "note": " by hand " }))
        .await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        reset,
        json!({ "id": reset["id"], "ts": "2026-01-02T00:00:00Z", "count": 10, "note": "by hand", "space": { "id": space } })
    );
    assert_eq!(service.now_in(&space).await, 11);
    service.reset_update(&reset["id"], json!({ "ts": "2026-01-01", "count": 20, "note": null })).await;
    assert_eq!(service.now_in(&space).await, 22);
    for (input, error) in [
        (json!({ "space": space, "ts": "2026-01-01", "count": 1 }), "TAKEN input.ts"),
        (json!({ "space": space, "ts": "x", "count": 1 }), "INVALID input.ts"),
        (json!({ "space": space, "ts": "2026-01-05", "count": -1 }), "OUT_OF_RANGE input.count"),
        (
            json!({ "space": space, "ts": "2026-01-05", "count": 1, "note": long(2001) }),
            "TOO_LONG input.note",
        ),
        (json!({ "space": "99", "ts": "2026-01-05", "count": 1 }), "NOT_FOUND input.space"),
    ] {
        assert_eq!(service.reset_create(input.clone()).await, refused(error), "{input}");
    }
    service.reset_create(json!({ "space": space, "ts": "2026-01-05", "count": 7 })).await;
    for (input, error) in [
        (json!({ "ts": "2026-01-05" }), "TAKEN input.ts"),
        (json!({ "ts": "" }), "INVALID input.ts"),
        (json!({ "count": -1 }), "OUT_OF_RANGE input.count"),
        (json!({ "note": " " }), "BLANK input.note"),
    ] {
        assert_eq!(service.reset_update(&reset["id"], input.clone()).await, refused(error), "{input}");
    }
    assert_eq!(service.now_in(&space).await, 7);
    assert_eq!(service.reset_update(&json!("99"), json!({})).await, refused("NOT_FOUND id"));
    assert_eq!(service.reset_delete(&json!("x")).await, refused("NOT_FOUND id"));
    let query = "query ($id: ID!, $after: String) { space(id: $id) { resets(first: 1, after: $after) {
        nodes { ts } totalCount pageInfo { hasNextPage endCursor } } } }";
    let first = service.data(query, json!({ "id": space })).await["space"]["resets"].take();
    assert_eq!(
        (&first["nodes"], &first["totalCount"]),
        (&json!([{ "ts": "2026-01-01T00:00:00Z" }]), &json!(2))
    );
    let second = service.data(query, json!({ "id": space, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(second["space"]["resets"]["nodes"], json!([{ "ts": "2026-01-05T00:00:00Z" }]));
    assert_eq!(service.reset_delete(&reset["id"]).await, (json!({ "count": 20 }), vec![]));
}

async fn a_reset_rule_applies_every_day_and_can_be_previewed(service: &Service) {
    let (space, _, _) = service.hall().await;
    service.space_update(&space, json!({ "timeZone": "America/New_York" })).await;
    for ts in ["2026-02-25T12:00:00Z", "2026-02-26T12:00:00Z", "2026-02-27T12:00:00Z"] {
        service.cross(ts).await;
    }
    let preview = "query ($id: ID!, $from: LocalDate!) { space(id: $id) { resetRulePreview(
        timeOfDay: \"04:00\", count: 1, firstDay: $from, lastDay: \"2026-02-27\", start: \"2026-01-01\", end: \"2026-03-01\"
    ) { ts count countWithRule } } }";
    let seen = service.data(preview, json!({ "id": space, "from": "2026-02-26" })).await;
    assert_eq!(
        seen["space"]["resetRulePreview"],
        json!([
            { "ts": "2026-02-26T09:00:00Z", "count": 1, "countWithRule": 1 },
            { "ts": "2026-02-27T09:00:00Z", "count": 2, "countWithRule": 1 },
        ])
    );
    assert_eq!(service.now_in(&space).await, 3);
    let (rule, errors) = service.rule_create(json!({
        "space": space, "timeOfDay": "04:00", "count": 1, "firstDay": "2026-02-26", "lastDay": "2026-02-27",
    })).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!((&rule["timeOfDay"], &rule["lastDay"]), (&json!("04:00:00"), &json!("2026-02-27")));
    let id: i64 = space.as_str().unwrap().parse().unwrap();
    for (ts, count) in [
        ("2026-02-26T08:59:59.999Z", 1),
        ("2026-02-26T09:00:00Z", 1),
        ("2026-02-26T12:00:00Z", 2),
        ("2026-02-27T09:00:00Z", 1),
        ("2026-02-28T09:00:00Z", 2),
    ] {
        assert_eq!(service.count(id, ts).await, count, "{ts}");
    }
    // A recorded reset at the instant of an occurrence takes precedence, in the preview too.
    service.reset_create(json!({ "space": space, "ts": "2026-02-27T09:00:00Z", "count": 5 })).await;
    assert_eq!(service.count(id, "2026-02-27T09:00:00Z").await, 5);
    let seen = service.data(preview, json!({ "id": space, "from": "2026-02-27" })).await;
    assert_eq!(
        seen["space"]["resetRulePreview"],
        json!([{ "ts": "2026-02-27T09:00:00Z", "count": 5, "countWithRule": 5 }])
    );

    let day = json!("2026-01-01");
    for (input, error) in [
        (json!({ "space": space, "timeOfDay": "24:00", "firstDay": day }), "INVALID input.timeOfDay"),
        (json!({ "space": space, "timeOfDay": "4:00", "firstDay": day }), "INVALID input.timeOfDay"),
        (json!({ "space": space, "timeOfDay": "23:59:60", "firstDay": day }), "INVALID input.timeOfDay"),
        (json!({ "space": space, "timeOfDay": "04:00", "firstDay": "2026-02-30" }), "INVALID input.firstDay"),
        (
            json!({ "space": space, "timeOfDay": "04:00", "firstDay": day, "lastDay": "0000-01-01" }),
            "INVALID input.lastDay",
        ),
        (
            json!({ "space": space, "timeOfDay": "04:00", "firstDay": day, "lastDay": "2025-12-31" }),
            "ENDS_BEFORE_START input.lastDay",
        ),
        (
            json!({ "space": space, "timeOfDay": "04:00", "firstDay": day, "count": -1 }),
            "OUT_OF_RANGE input.count",
        ),
        (json!({ "space": "0", "timeOfDay": "04:00", "firstDay": day }), "NOT_FOUND input.space"),
    ] {
        assert_eq!(service.rule_create(input.clone()).await, refused(error), "{input}");
    }
    for (input, error) in [
        (json!({ "timeOfDay": "" }), "INVALID input.timeOfDay"),
        (json!({ "firstDay": "2026-02-28" }), "ENDS_BEFORE_START input.lastDay"),
        (json!({ "lastDay": "today" }), "INVALID input.lastDay"),
        (json!({ "count": -2 }), "OUT_OF_RANGE input.count"),
    ] {
        assert_eq!(service.rule_update(&rule["id"], input.clone()).await, refused(error), "{input}");
    }
    let (updated, _) = service
        .rule_update(&rule["id"], json!({ "timeOfDay": "05:30:15", "count": 0, "lastDay": null }))
        .await;
    assert_eq!(
        updated,
        json!({ "timeOfDay": "05:30:15", "count": 0, "firstDay": "2026-02-26", "lastDay": null })
    );
    let rules = service
        .data(
            "query ($id: ID!) { space(id: $id) { resetRules { timeOfDay space { name } } } }",
            json!({ "id": space }),
        )
        .await;
    assert_eq!(
        rules["space"]["resetRules"],
        json!([{ "timeOfDay": "05:30:15", "space": { "name": "Hall" } }])
    );
    assert_eq!(service.rule_delete(&rule["id"]).await, (json!({ "count": 0 }), vec![]));
    assert_eq!(service.rule_delete(&rule["id"]).await, refused("NOT_FOUND id"));
    assert_eq!(service.rule_update(&json!(""), json!({})).await, refused("NOT_FOUND id"));
    for (arguments, problem) in [
        (
            "timeOfDay: \"x\", firstDay: \"2026-01-01\", start: \"2026-01-01\", end: \"2026-01-02\"",
            "timeOfDay: ",
        ),
        ("timeOfDay: \"04:00\", firstDay: \"x\", start: \"2026-01-01\", end: \"2026-01-02\"", "firstDay: "),
        (
            "timeOfDay: \"04:00\", firstDay: \"2026-01-01\", lastDay: \"x\", start: \"2026-01-01\", end: \"2026-01-02\"",
            "lastDay: ",
        ),
        ("timeOfDay: \"04:00\", firstDay: \"2026-01-01\", start: \"x\", end: \"2026-01-02\"", "start: "),
        (
            "timeOfDay: \"04:00\", firstDay: \"2026-01-01\", start: \"2026-01-01\", end: \"2036-01-02\"",
            "end: ",
        ),
        (
            "timeOfDay: \"04:00\", firstDay: \"2026-01-01\", count: -1, start: \"2026-01-01\", end: \"2026-01-02\"",
            "count: ",
        ),
    ] {
        let answer = service
            .ask(
                &format!("{{ space(id: {space}) {{ resetRulePreview({arguments}) {{ ts }} }} }}"),
                Value::Null,
            )
            .await;
        assert!(answer["errors"][0]["message"].as_str().unwrap().starts_with(problem), "{answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    }
}

async fn numbers_have_32_bits_and_instants_are_limited(service: &Service) {
    let (space, dpu, _) = service.hall().await;
    service.reset_create(json!({ "space": space, "ts": "2026-01-01", "count": i32::MAX })).await;
    let query = "query ($id: ID!) { space(id: $id) { name count } }";
    assert_eq!(service.data(query, json!({ "id": space })).await["space"]["count"], i32::MAX);
    service.cross("2026-01-02").await;
    let answer = service.ask(query, json!({ "id": space })).await;
    assert_eq!(
        (&answer["errors"][0]["extensions"]["code"], &answer["errors"][0]["path"]),
        (&json!("OUT_OF_RANGE"), &json!(["space", "count"])),
        "{answer}"
    );
    assert_eq!(answer["errors"][0]["message"], "2147483648 does not fit into an Int, which has 32 bits");
    // There are no instants before the first one.
    let (loft, _) = service.space_create(json!({ "name": "Loft" })).await;
    service
        .assignment_create(
            json!({ "dpu": dpu, "space": loft["id"], "placement": "INSIDE", "startsAt": "0001-01-01" }),
        )
        .await;
    let query = "query ($id: ID!) { space(id: $id) { countBreakdown { assignments { after net } } } }";
    let breakdown = service.data(query, json!({ "id": loft["id"] })).await["space"]["countBreakdown"].take();
    assert_eq!(breakdown["assignments"], json!([{ "after": null, "net": 1 }]));
}

on_both!(
    a_space_is_created_updated_and_deleted,
    spaces_that_are_refused,
    a_referenced_space_is_deleted_only_with_cascade,
    a_dpu_is_created_and_updated_or_refused,
    assignments_that_are_refused,
    a_correction_of_an_assignment_corrects_every_count,
    a_dpu_is_moved_now_or_in_the_past,
    concurrent_moves_leave_a_dpu_in_one_place,
    concurrent_assignments_never_overlap,
    a_reset_states_the_count_and_can_be_corrected,
    a_reset_rule_applies_every_day_and_can_be_previewed,
    numbers_have_32_bits_and_instants_are_limited
);
