import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;
import java.util.zip.ZipOutputStream;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * Mends what dex2jar gets wrong: a call of an interface's own (default or static) method has to be marked as one, or the Java virtual
 * machine refuses it. Dex makes no such difference. {@code java -cp asm.jar FixInterfaceCalls.java IN.jar OUT.jar}
 */
final class FixInterfaceCalls {
  private FixInterfaceCalls() {}

  public static void main(String[] arguments) throws IOException {
    Map<String, byte[]> classes = new LinkedHashMap<>();
    Set<String> interfaces = new HashSet<>();
    try (ZipInputStream in = new ZipInputStream(new FileInputStream(arguments[0]))) {
      for (ZipEntry entry = in.getNextEntry(); entry != null; entry = in.getNextEntry()) {
        if (entry.getName().endsWith(".class")) {
          byte[] bytes = in.readAllBytes();
          classes.put(entry.getName(), bytes);
          ClassReader reader = new ClassReader(bytes);
          if ((reader.getAccess() & Opcodes.ACC_INTERFACE) != 0) {
            interfaces.add(reader.getClassName());
          }
        }
      }
    }
    try (ZipOutputStream out = new ZipOutputStream(new FileOutputStream(arguments[1]))) {
      for (Map.Entry<String, byte[]> entry : classes.entrySet()) {
        ClassWriter writer = new Writer();
        new ClassReader(entry.getValue()).accept(fixer(writer, interfaces), ClassReader.SKIP_FRAMES);
        out.putNextEntry(new ZipEntry(entry.getKey()));
        out.write(writer.toByteArray());
        out.closeEntry();
      }
    }
  }

  /** Works out the stack maps anew, and replaces code that is never reached, which dex2jar leaves in no valid state. */
  private static final class Writer extends ClassWriter {
    Writer() {
      super(ClassWriter.COMPUTE_FRAMES);
    }

    @Override
    protected String getCommonSuperClass(String first, String second) {
      // The classes are not loaded here; the verifier, which would want to know better, is off.
      return "java/lang/Object";
    }
  }

  private static ClassVisitor fixer(ClassWriter writer, Set<String> interfaces) {
    return new ClassVisitor(Opcodes.ASM9, writer) {
      @Override
      public MethodVisitor visitMethod(
          int access, String name, String descriptor, String signature, String[] exceptions) {
        return new MethodVisitor(
            Opcodes.ASM9, super.visitMethod(access, name, descriptor, signature, exceptions)) {
          @Override
          public void visitMethodInsn(
              int opcode, String owner, String method, String type, boolean isInterface) {
            boolean marked = isInterface || interfaces.contains(owner) || isJavas(owner);
            super.visitMethodInsn(opcode, owner, method, type, marked);
          }
        };
      }
    };
  }

  private static boolean isJavas(String owner) {
    if (!owner.startsWith("java")) {
      return false;
    }
    try {
      return Class.forName(owner.replace('/', '.'), false, null).isInterface();
    } catch (ClassNotFoundException unknown) {
      return false;
    }
  }
}
