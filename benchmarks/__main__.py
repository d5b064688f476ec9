"""Measure again whatever has no result yet, and write README's tables."""

from benchmarks import quality, readme

quality.main(["run"])
readme.main()
