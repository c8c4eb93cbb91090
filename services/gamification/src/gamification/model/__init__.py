"""The pure rules of gamification: what gives points, boards, the blueprint section."""
