//! The routes that there are. What is counted of a request, and who may send it, depends on its route; so that is told by
//! the path alone, before a router is asked.

use crate::auth::Need;

/// A route, by what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A space's count.
    Count,
    /// A space's history.
    Counts,
    /// GraphQL, over HTTP and WebSockets.
    GraphQl,
    /// Takes events.
    Events,
    /// The metrics.
    Metrics,
    /// Whether the process lives.
    Healthz,
    /// Whether it can do its work.
    Readyz,
    /// The description of the REST interface.
    OpenApi,
    /// The dashboard.
    Dashboard,
    /// The dashboard's page of the floor plan.
    FloorPlan,
    /// The dashboard's page of a space.
    Space,
    /// GraphiQL.
    GraphiQl,
    /// What the pages load.
    Asset,
    /// None: whatever asks for it is told that there is nothing.
    Unmatched,
}

impl Route {
    /// Every one, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Count,
        Self::Counts,
        Self::GraphQl,
        Self::Events,
        Self::Metrics,
        Self::Healthz,
        Self::Readyz,
        Self::OpenApi,
        Self::Dashboard,
        Self::FloorPlan,
        Self::Space,
        Self::GraphiQl,
        Self::Asset,
        Self::Unmatched,
    ];

    /// The route that answers this path, with a slash at its end or without.
    pub fn of(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut segments = path.strip_suffix('/').unwrap_or(path).split('/');
        let mut next = || segments.next();
        match (next(), next(), next(), next()) {
            (Some("space"), Some(id), Some("count"), None) if !id.is_empty() => Self::Count,
            (Some("space"), Some(id), Some("counts"), None) if !id.is_empty() => Self::Counts,
            (Some("spaces"), Some(id), None, None) if !id.is_empty() => Self::Space,
            (Some("assets"), Some(name), None, None) if !name.is_empty() => Self::Asset,
            (Some(only), None, None, None) => match only {
                "" => Self::Dashboard,
                "graphql" => Self::GraphQl,
                "events" => Self::Events,
                "metrics" => Self::Metrics,
                "healthz" => Self::Healthz,
                "readyz" => Self::Readyz,
                "openapi.json" => Self::OpenApi,
                "floor-plan" => Self::FloorPlan,
                "graphiql" => Self::GraphiQl,
                _ => Self::Unmatched,
            },
            _ => Self::Unmatched,
        }
    }

    /// The permission that it needs.
    pub fn need(self) -> Need {
        match self {
            Self::Count | Self::Counts => Need::Read,
            Self::GraphQl => Need::Operation,
            Self::Events => Need::Ingest,
            Self::Metrics => Need::ReadAll,
            // Whether the process lives and is ready; the interface's description; the pages, which hold no data.
            Self::Healthz
            | Self::Readyz
            | Self::OpenApi
            | Self::Dashboard
            | Self::FloorPlan
            | Self::Space
            | Self::GraphiQl
            | Self::Asset
            | Self::Unmatched => Need::Nothing,
        }
    }

    /// Whether it answers a page, or what pages load.
    pub fn is_of_pages(self) -> bool {
        matches!(self, Self::Dashboard | Self::FloorPlan | Self::Space | Self::GraphiQl | Self::Asset)
    }

    /// Whether its answers can be long and are text, so that it pays to compress them. Those of pages the build has compressed.
    pub fn has_long_answers(self) -> bool {
        matches!(self, Self::Counts | Self::GraphQl | Self::Events | Self::Metrics | Self::OpenApi)
    }

    /// Its paths, as metrics, logs and traces name them.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Count => "/space/{id}/count",
            Self::Counts => "/space/{id}/counts",
            Self::GraphQl => "/graphql",
            Self::Events => "/events",
            Self::Metrics => "/metrics",
            Self::Healthz => "/healthz",
            Self::Readyz => "/readyz",
            Self::OpenApi => "/openapi.json",
            Self::Dashboard => "/",
            Self::FloorPlan => "/floor-plan",
            Self::Space => "/spaces/{id}",
            Self::GraphiQl => "/graphiql",
            Self::Asset => "/assets/{name}",
            Self::Unmatched => "unmatched",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_like_a_pattern_is_answered_by_its_route() {
        for (place, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, place);
            let slashed = format!("{}/", route.pattern().trim_end_matches('/'));
            assert_eq!((Route::of(route.pattern()), Route::of(&slashed)), (route, route));
        }
    }

    #[test]
    fn a_path_that_is_like_none_is_answered_by_none() {
        for path in [
            "*",
            "/space",
            "/space/",
            "/space//count",
            "/space/1",
            "/space/1/count/x",
            "/count",
            "/spaces//",
            "//x",
        ] {
            assert_eq!(Route::of(path), Route::Unmatched, "{path}");
        }
    }
}
