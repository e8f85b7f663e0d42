//! The routes. The metrics of a request and the permission that it needs depend on its route, so the route is
//! determined from the path alone, before the router runs.

use crate::auth::Need;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Count,
    Counts,
    GraphQl,
    Events,
    Metrics,
    Healthz,
    Readyz,
    OpenApi,
    Dashboard,
    /// The dashboard's page of the floor plan.
    FloorPlan,
    /// The dashboard's page of a space.
    Space,
    GraphiQl,
    /// Files that the pages load.
    Asset,
    /// Unknown paths, answered with 404.
    Unmatched,
}

impl Route {
    /// All routes, in the order of their numbers.
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

    /// Returns the route of this path, with or without a trailing slash.
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

    pub fn need(self) -> Need {
        match self {
            Self::Count | Self::Counts => Need::Read,
            Self::GraphQl => Need::Operation,
            Self::Events => Need::Ingest,
            Self::Metrics => Need::ReadAll,
            // Liveness and readiness, the description of the interface, and the pages, which contain no data.
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

    pub fn is_of_pages(self) -> bool {
        matches!(self, Self::Dashboard | Self::FloorPlan | Self::Space | Self::GraphiQl | Self::Asset)
    }

    /// Returns whether its answers can be long and are text, and so are compressed. Pages are compressed by the build.
    pub fn has_long_answers(self) -> bool {
        matches!(self, Self::Counts | Self::GraphQl | Self::Events | Self::Metrics | Self::OpenApi)
    }

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
    fn a_path_that_matches_a_pattern_belongs_to_its_route() {
        for (place, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(route as usize, place);
            let slashed = format!("{}/", route.pattern().trim_end_matches('/'));
            assert_eq!((Route::of(route.pattern()), Route::of(&slashed)), (route, route));
        }
    }

    #[test]
    fn a_path_that_matches_no_pattern_is_unmatched() {
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
