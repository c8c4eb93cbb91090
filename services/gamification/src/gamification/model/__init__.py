"""The pure rules of gamification: rules for points, leaderboards, the blueprint section. No I/O."""
