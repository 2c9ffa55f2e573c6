package org.pocketfleet.desktop;

/** The program. */
public final class Main {
  private Main() {}

  /** Runs the command line. */
  public static void main(String[] arguments) {
    System.err.println("not yet");
  }
}
