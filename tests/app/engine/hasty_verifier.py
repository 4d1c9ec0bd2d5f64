"""The verifier, but no file may take more than a second of a processor."""

from app.engine import verifier_child

if __name__ == "__main__":
    verifier_child._CPU_SECONDS = 1
    verifier_child.main()
