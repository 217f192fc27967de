"""The whole job put together: frames in; ticks, features, predictions, outcomes and alerts out."""
